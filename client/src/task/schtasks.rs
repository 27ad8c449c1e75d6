//! What `schtasks.exe` answers: one task as a line of CSV, and numbers that stand for how a run ended.
//!
//! Headers, states and "never" are in Windows' own language, so columns are known by their place and times are shown as
//! printed. Numbers: "Task Scheduler error and success constants" and \[MS-ERREF\].

use super::{Answer, Ended, Told, ended, one_line};

/// `HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND)`, and of `ERROR_PATH_NOT_FOUND`: the folder is not there either.
const NOT_FOUND: [u32; 2] = [0x8007_0002, 0x8007_0003];
/// `HRESULT_FROM_WIN32(ERROR_ACCESS_DENIED)`.
const DENIED: u32 = 0x8007_0005;

/// Reads the answer to a query of one task in full (`/fo CSV /v /nh /hresult`).
#[must_use]
pub fn answer(exit_code: u32, output: &str, complaint: &str) -> Answer {
    match exit_code {
        0 => Answer::There(told(output)),
        DENIED => Answer::Denied,
        code if NOT_FOUND.contains(&code) => Answer::Missing,
        code => Answer::Unclear(format!("{} ({})", one_line(complaint), result(code).words)),
    }
}

/// One line for each trigger, the same but for the next start. Host, task, next run, state, logon, last run, last
/// result: the eighth column and what follows is not needed, and not escaped by Windows either.
fn told(output: &str) -> Option<Told> {
    let lines: Vec<Vec<String>> = output.lines().map(fields).filter(|fields| fields.len() > LAST_RESULT).collect();
    let first = lines.first()?;
    // A trigger without a date says so in words; a date has digits in every language.
    let next = lines.iter().map(|line| &line[NEXT_RUN]).find(|next| has_digit(next));
    let last = first[LAST_RESULT].trim().parse::<i64>().ok().and_then(unsigned).map(result);
    let has_run = last.as_ref().is_some_and(|last| last != &result(HAS_NOT_RUN));
    Some(Told {
        is_on: Some(next.is_some() || last != Some(result(DISABLED))),
        last_run: Some(&first[LAST_RUN]).filter(|when| has_run && has_digit(when)).cloned(),
        next_run: next.cloned(),
        last,
    })
}

const NEXT_RUN: usize = 2;
const LAST_RUN: usize = 5;
const LAST_RESULT: usize = 6;
/// `SCHED_S_TASK_DISABLED`.
const DISABLED: u32 = 0x0004_1302;
/// `SCHED_S_TASK_HAS_NOT_RUN`.
const HAS_NOT_RUN: u32 = 0x0004_1303;

/// The number, which Windows prints with a sign or without.
fn unsigned(number: i64) -> Option<u32> {
    u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))
}

fn has_digit(text: &str) -> bool {
    text.contains(|letter: char| letter.is_ascii_digit())
}

/// The fields of one line; a quote inside a field is doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut letters = line.trim_end().chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

/// The security identifier or else the name out of `whoami /user /fo csv /nh`.
#[must_use]
pub fn who(output: &str) -> Option<String> {
    let fields = fields(output.lines().find(|line| !line.trim().is_empty())?);
    fields.last().map(|last| last.trim().to_owned()).filter(|who| !who.is_empty())
}

/// The last result of a task in words: how our program ended, or why it was not started.
#[must_use]
pub fn result(code: u32) -> Ended {
    let (words, is_fine) = match code {
        0x0004_1300 => ("waits for its next time", true),
        0x0004_1301 => ("is running now", true),
        DISABLED => ("is switched off; cure: schtasks /change /tn NAME /enable, or install again", false),
        HAS_NOT_RUN => ("has not run yet", true),
        0x0004_1304 => ("has no further time to run; install again", false),
        0x0004_1305 | 0x0004_1307 => ("lacks what it needs to be started; install again", false),
        0x0004_1306 => ("was ended by somebody, or after its time limit", false),
        0x8004_130f => ("Task Scheduler has no credentials for its account; install again, or use --as service", false),
        0x8004_1309 | 0x8004_130d | 0x8004_1316 | 0x8004_1318 => ("its definition is damaged; install again", false),
        0x8004_1315 => ("the Task Scheduler service does not run; start the service \"Schedule\"", false),
        0x8004_131f => ("one of it was running already", true),
        0x8007_0002 | 0x8007_0003 => {
            ("the program or its folder is not where it was; put it back, or install from where it is now", false)
        }
        DENIED => {
            ("its account may not read the program or the configuration; move both out of your own folders", false)
        }
        0x8007_010b => ("its working folder is not there; install again", false),
        0x8007_00c1 => ("the program is not for this machine: 32 or 64 bits, or the file is damaged", false),
        0x8007_04dd => ("nobody is logged on and the task wants that; install again", false),
        0x8007_0520 => ("its account has no logon session; install again, or use --as service", false),
        0x8007_052e => ("the password of its account was changed; install again, or use --as service", false),
        0x8007_0534 => ("its account is not known here any more; install again", false),
        0x8007_0569 => ("its account may not log on as a batch job; use --as service", false),
        0x8007_10e0 => ("Windows refused to start it: a condition was not met, or one of it was still running", false),
        0xc000_013a => ("was ended from outside: Ctrl+C, logging off or shutting down", false),
        0xc000_0005 | 0xc000_0409 | 0xc000_001d => ("our program crashed; that is a bug worth a report", false),
        0xc000_0135 | 0xc000_0142 => {
            ("the program cannot be loaded: a system library is missing or does not start", false)
        }
        code if code < 0x100 => return ended(code),
        code => return Ended { words: format!("0x{code:08X}, a number we do not know"), is_fine: false },
    };
    Ended { words: words.to_owned(), is_fine }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#""PC","\nicgate-update","#;

    #[test]
    fn an_answer_is_read_by_place_whatever_the_language() {
        let english = format!(
            "\r\n{HEAD}\"N/A\",\"Ready\",\"Interactive/Background\",\"11/23/2026 3:50:01 AM\",\"0\",\"nicgate\",\"\"C:\\n.exe\" --config\"\r\n\
             {HEAD}\"11/23/2026 4:00:00 AM\",\"Ready\",\"Interactive/Background\",\"11/23/2026 3:50:01 AM\",\"0\",\"nicgate\"\r\n"
        );
        let german = format!(
            "{HEAD}\"Nicht zutreffend\",\"Bereit\",\"Interaktiv/Hintergrund\",\"23.11.2026 03:50:01\",\"-2147020576\",\"nicgate\"\r\n"
        );
        let told = |text: &str| {
            let Answer::There(Some(told)) = answer(0, text, "") else { panic!("{text}") };
            told
        };
        let first = told(&english);
        assert_eq!(first.next_run.as_deref(), Some("11/23/2026 4:00:00 AM"));
        assert_eq!(first.last_run.as_deref(), Some("11/23/2026 3:50:01 AM"));
        assert_eq!((first.last, first.is_on), (Some(ended(0)), Some(true)));
        let second = told(&german);
        assert_eq!(second.next_run, None);
        assert!(second.last.unwrap().words.contains("condition"), "0x800710E0, printed with a sign");
    }

    #[test]
    fn a_task_that_has_not_run_has_no_last_run() {
        let never = format!("{HEAD}\"N/A\",\"Ready\",\"x\",\"11/30/1999 12:00:00 AM\",\"267011\",\"nicgate\"\r\n");
        let Answer::There(Some(told)) = answer(0, &never, "") else { panic!("it is there") };
        assert_eq!(told.last_run, None);
        assert_eq!(told.last, Some(Ended { words: "has not run yet".to_owned(), is_fine: true }));
    }

    #[test]
    fn missing_denied_and_silent_are_told_apart() {
        assert_eq!(answer(0x8007_0002, "", "ERROR: Das System kann …"), Answer::Missing);
        assert_eq!(answer(0x8007_0003, "", ""), Answer::Missing);
        assert_eq!(answer(0x8007_0005, "", ""), Answer::Denied);
        assert_eq!(answer(0, "\r\n", ""), Answer::There(None), "as Wine answers");
        let Answer::Unclear(words) = answer(1, "", "ERROR: Invalid\r\nargument") else { panic!("1 says nothing") };
        assert!(words.starts_with("ERROR: Invalid argument"), "{words}");
    }

    #[test]
    fn numbers_have_words_and_a_verdict() {
        for (code, part, is_fine) in [
            (0, "good", true),
            (5, "refused", false),
            (0x41301, "running", true),
            (0x41303, "not run yet", true),
            (0x41306, "ended", false),
            (0x8004_130f, "credentials", false),
            (0x8007_0002, "not where it was", false),
            (0x8007_052e, "password", false),
            (0xc000_013a, "from outside", false),
            (0xdead_beef, "0xDEADBEEF", false),
        ] {
            let result = result(code);
            assert!(result.words.contains(part) && result.is_fine == is_fine, "{code:#x}: {result:?}");
        }
        assert_eq!((unsigned(-1), unsigned(4_294_967_295), unsigned(1 << 40)), (Some(u32::MAX), Some(u32::MAX), None));
    }

    #[test]
    fn who_we_are_is_the_identifier_where_windows_tells_it() {
        for (output, who_we_are) in [
            ("\"pc\\ana\",\"S-1-5-21-1-2-3-1001\"\r\n", Some("S-1-5-21-1-2-3-1001")),
            ("VM\\root\r\n", Some("VM\\root")),
            ("\r\n", None),
        ] {
            assert_eq!(who(output).as_deref(), who_we_are);
        }
    }
}
