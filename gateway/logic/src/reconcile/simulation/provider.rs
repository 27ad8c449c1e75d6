//! Providers as they are on a bad day.

use std::net::IpAddr;

use super::*;

impl World {
    /// What the provider makes of a push.
    pub(super) fn ends(&mut self, push: &Push) -> Vec<End> {
        let all = |end| vec![end; push.items.len()];
        let unconfirmed = |class, maybe_written| End::Unconfirmed { class, retry_after: None, maybe_written };
        let spell = if self.is_calm() { Spell::Fine } else { self.spells[&push.account] };
        match spell {
            Spell::WrongCredential => return all(End::Refused { class: Class::Auth, maybe_written: false }),
            Spell::Throttled => {
                let retry_after = (self.dice.below(2) == 0).then(|| self.millis(90_000));
                return all(End::Unconfirmed { class: Class::Rate, retry_after, maybe_written: false });
            }
            Spell::Down => return self.half_answer(push),
            Spell::Fine => {}
        }
        if self.is_calm() {
            self.write(push, false);
            return all(End::Confirmed);
        }
        // Some hosts are refused for their own sake, some break the answer for everybody.
        let is_bad = |item: &Item, which: u64| {
            let index = item.hostname.as_str()[1..].split('.').next().and_then(|text| text.parse::<u64>().ok());
            index.is_some_and(|index| index % 40 == which)
        };
        if push.items.iter().any(|item| is_bad(item, 17)) {
            let maybe_written = self.dice.below(4) == 0;
            if maybe_written {
                self.write(push, true);
            } else if self.dice.below(2) == 0 {
                // It says which.
                let end = |item: &Item| {
                    if is_bad(item, 17) {
                        End::Refused { class: Class::Invalid, maybe_written }
                    } else {
                        unconfirmed(Class::Busy, false)
                    }
                };
                return push.items.iter().map(end).collect();
            }
            return all(End::Refused { class: Class::Invalid, maybe_written });
        }
        if push.items.iter().any(|item| is_bad(item, 22)) {
            return all(unconfirmed(Class::Bug, false));
        }
        match self.dice.below(40) {
            0 => self.half_answer(push),
            1 => all(unconfirmed(Class::Busy, false)),
            2 => all(End::Refused { class: Class::Quota, maybe_written: false }),
            3 => {
                // The same write twice does no harm.
                self.write(push, false);
                self.write(push, false);
                all(End::Confirmed)
            }
            4 => {
                self.write(push, true);
                vec![unconfirmed(Class::Bug, true)] // and of the other hosts not a word
            }
            _ => {
                self.write(push, false);
                all(End::Confirmed)
            }
        }
    }

    /// No answer, or half of one: the write was made, or not, or in part; and we may know that it was not.
    fn half_answer(&mut self, push: &Push) -> Vec<End> {
        let maybe_written = self.dice.below(2) == 0;
        if maybe_written && self.dice.below(2) == 0 {
            self.write(push, self.dice.0 & 1 == 0);
        }
        vec![End::Unconfirmed { class: Class::Down, retry_after: None, maybe_written }; push.items.len()]
    }

    /// Writes as a provider file does: without a doubt only the families that differ from what was confirmed, and only
    /// what we wrote is ever removed. `in_part`: or none of that.
    pub(super) fn write(&mut self, push: &Push, in_part: bool) {
        for item in &push.items {
            let before = self.memory[&item.hostname].applied_by(&push.provider).map(|applied| applied.addresses);
            let before = before.unwrap_or_default();
            let place = (Arc::clone(&push.provider), item.hostname.clone());
            let mut stands = self.published.get(&place).copied().unwrap_or_default();
            let ours = |set: fn(&AddressSet) -> Option<IpAddr>, found| {
                std::iter::once(&before).chain(&item.doubted).any(|known| set(known) == found)
            };
            let v4 = |set: &AddressSet| set.v4.map(Into::into);
            let v6 = |set: &AddressSet| set.v6.map(Into::into);
            let must_look = !item.doubted.is_empty();
            let is_made = |dice: &mut Dice| !in_part || dice.below(2) == 0;
            if (must_look || before.v4 != item.desired.v4) && is_made(&mut self.dice) {
                stands.v4 = item.desired.v4.or(stands.v4.filter(|_| !ours(v4, v4(&stands))));
            }
            if (must_look || before.v6 != item.desired.v6) && is_made(&mut self.dice) {
                stands.v6 = item.desired.v6.or(stands.v6.filter(|_| !ours(v6, v6(&stands))));
            }
            self.published.insert(place, stands);
        }
    }
}
