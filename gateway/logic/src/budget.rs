//! How many calls a provider's vendor allows.

use std::borrow::Cow;
use std::time::Duration;

/// At most so many calls in any span of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Calls; at least one.
    pub calls: u32,
    /// The span.
    pub per: Duration,
}

impl Window {
    /// At most `calls` in any `seconds` seconds.
    #[must_use]
    pub const fn new(calls: u32, seconds: u64) -> Self {
        Self { calls, per: Duration::from_secs(seconds) }
    }
}

/// All windows of one credential; each of them holds. None: nothing is known, and nothing is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// The windows.
    pub windows: Cow<'static, [Window]>,
}

impl Budget {
    /// What a vendor's pages say.
    #[must_use]
    pub const fn of(windows: &'static [Window]) -> Self {
        Self { windows: Cow::Borrowed(windows) }
    }

    /// These windows and those of another budget, each once, in order.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut windows = [self.windows.as_ref(), other.windows.as_ref()].concat();
        windows.sort_by_key(|window| (window.per, window.calls));
        windows.dedup();
        Self { windows: windows.into() }
    }

    /// What an operator says.
    #[must_use]
    pub fn per_minute(calls: u32) -> Self {
        Self { windows: Cow::Owned(vec![Window::new(calls, 60)]) }
    }
}
