//! The program: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

use nicgate_client::command;

fn main() -> ExitCode {
    let order = match command::arguments::read(std::env::args_os().skip(1)) {
        Ok(order) => order,
        Err(complaint) => {
            eprintln!("nicgate-client: {complaint}\ntry: nicgate-client --help");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(fault) => {
            eprintln!("nicgate-client: the system gives no event queue: {fault}");
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(command::run(order));
    // A name lookup that hangs in the system's resolver must not hold the program.
    runtime.shutdown_background();
    ExitCode::from(code)
}
