//! One contract for all providers, held against the fake of each: `every_provider::desec::no_change_costs_no_call`.
//!
//! What differs between vendors stands in their `Traits`; stories about what a vendor cannot do end at once. Every push
//! of every story is watched for what must never happen: see `bench.rs`.

mod batch;
pub(crate) mod bench;
mod records;
mod trouble;

use std::collections::BTreeSet;

use nicgate::provider::KINDS;
use nicgate_tests::fake::SUBJECTS;

/// Kinds without a fake, and why.
const ELSEWHERE: [(&str, &str); 1] =
    [("embedded", "it is never pushed to; name_server.rs asks it for what it publishes")];

/// Writes one test for each subject and story.
macro_rules! stories {
    ($($file:ident: $($story:ident),+;)+) => {
        macro_rules! tell {
            ($subject:ident) => {
                mod $subject {
                    $($(
                        #[tokio::test]
                        async fn $story() {
                            let subject = &nicgate_tests::fake::$subject::SUBJECT;
                            if let Some(bench) = super::bench::Bench::new(subject) {
                                super::$file::$story(bench).await;
                            }
                        }
                    )+)+
                }
            };
        }
    };
}

stories! {
    records:
        a_change_is_made_in_place_by_as_few_calls_as_can_be,
        a_cname_in_the_way_is_refused_in_words,
        a_family_that_is_not_asked_for_stays,
        a_look_sees_what_stands_there_and_changes_nothing,
        a_record_that_somebody_removed_is_made_again,
        a_removal_takes_what_we_wrote_and_nothing_else,
        a_ttl_is_set_when_asked_for_and_kept_when_not,
        a_wildcard_and_the_zone_itself_are_hosts,
        both_families_are_made_and_changed,
        no_change_costs_no_call,
        of_several_records_those_of_others_stay,
        signatures_are_those_of_the_vendors_own_code,
        the_first_address_is_made,
        what_is_remembered_may_be_garbage,
        what_was_set_by_hand_stays;
    trouble:
        a_lost_answer_is_found_out_whatever_is_wanted_next,
        a_lost_answer_to_the_first_record_makes_no_second_one,
        a_provider_that_misbehaves_is_never_taken_for_one_that_confirmed,
        a_redirect_is_not_followed,
        a_vendor_that_repeats_the_secret_does_not_spread_it,
        a_wrong_credential_is_refused_and_never_shown,
        a_zone_that_is_not_there_is_told_by_name,
        nobody_waits_for_a_vendor_that_says_nothing,
        patience_is_learnt_from_the_vendor;
    batch:
        a_lost_answer_leaves_all_hosts_of_a_batch_in_doubt,
        a_record_that_somebody_removed_does_not_hold_up_a_batch,
        a_refused_host_does_not_hold_up_the_others,
        several_hosts_go_in_one_call;
}

macro_rules! tell_of_all {
    ($($subject:ident)+) => { $(tell!($subject);)+ };
}

nicgate_tests::for_every_fake!(tell_of_all);

#[test]
fn every_kind_of_provider_is_held_to_this_or_has_a_reason() {
    let kinds: BTreeSet<&str> = KINDS.iter().map(|kind| kind.word).collect();
    let subjects: BTreeSet<&str> = SUBJECTS.iter().map(|subject| subject.word).collect();
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(word, _)| *word).collect();
    assert!(subjects.is_disjoint(&elsewhere), "not both: {subjects:?} {elsewhere:?}");
    assert_eq!(&subjects | &elsewhere, kinds);
}

#[test]
fn a_key_that_is_required_is_missed_by_name() {
    for kind in KINDS {
        let settings = nicgate::provider::ProviderSettings::new("some", kind);
        let required: Vec<&str> = kind.keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
        match settings.open() {
            Ok(_) => assert_eq!(required, [""; 0], "{kind:?}"),
            Err(bad) => {
                assert!(required.contains(&bad.key) || required.is_empty(), "{kind:?} misses {bad}, not {required:?}");
            }
        }
    }
}
