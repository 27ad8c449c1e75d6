//! The console's way of showing what is typed.

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Console::{
    ENABLE_ECHO_INPUT, GetConsoleMode, GetStdHandle, STD_INPUT_HANDLE, SetConsoleMode,
};

/// The console's mode as it was, to be set again.
pub(in crate::platform) struct Hush(u32);

impl Hush {
    #[expect(unsafe_code, reason = "the system's console")]
    pub(in crate::platform) fn begin() -> Option<Self> {
        let mut before = 0;
        // SAFETY: the handle is the system's and may be none, which the call tells; `before` is a place for a number.
        let is_set = unsafe {
            GetConsoleMode(input(), &mut before) != 0 && SetConsoleMode(input(), before & !ENABLE_ECHO_INPUT) != 0
        };
        is_set.then_some(Self(before))
    }
}

impl Drop for Hush {
    #[expect(unsafe_code, reason = "the system's console")]
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { SetConsoleMode(input(), self.0) };
    }
}

#[expect(unsafe_code, reason = "the system's console")]
fn input() -> HANDLE {
    // SAFETY: it takes a number and gives a handle that nobody has to close.
    unsafe { GetStdHandle(STD_INPUT_HANDLE) }
}
