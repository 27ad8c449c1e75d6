//! Windows alone: what Explorer shows of the program (version, icon), and the manifest that says as whom it runs and
//! which letters and paths it takes. Nothing happens for other systems.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=resources");
    println!("cargo::rerun-if-env-changed=WINDRES");
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    if set("CARGO_CFG_TARGET_OS") != "windows" {
        return ExitCode::SUCCESS;
    }
    if set("CARGO_CFG_TARGET_ENV") != "gnu" {
        println!("cargo::warning=nicgate-client.exe gets no version, icon and manifest: only mingw's windres is known");
        return ExitCode::SUCCESS;
    }
    match compile(&set("CARGO_CFG_TARGET_ARCH"), &set("CARGO_PKG_VERSION"), Path::new(&set("OUT_DIR"))) {
        Ok(object) => {
            println!("cargo::rustc-link-arg-bins={}", object.display());
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            println!("cargo::error={complaint}");
            ExitCode::FAILURE
        }
    }
}

/// Makes an object file out of the resources.
fn compile(architecture: &str, version: &str, folder: &Path) -> Result<PathBuf, String> {
    let resources = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources");
    let (script, object) = (folder.join("nicgate-client.rc"), folder.join("resources.o"));
    std::fs::write(&script, text(version)).map_err(|fault| format!("{}: {fault}", script.display()))?;
    let windres = std::env::var("WINDRES").unwrap_or_else(|_| format!("{architecture}-w64-mingw32-windres"));
    let mut command = Command::new(&windres);
    command.arg("--include-dir").arg(resources).arg(&script).arg(&object);
    match command.status() {
        Ok(status) if status.success() => Ok(object),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(fault) => Err(format!(
            "{windres} does not run ({fault}): install mingw-w64's binutils (Debian: binutils-mingw-w64), \
             or set WINDRES to one that does"
        )),
    }
}

/// The resource script. Numbers: 24 is a manifest, 4 Windows (32 bits or more), 1 a program; 0409 and 1200 say
/// "English, Unicode".
fn text(version: &str) -> String {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    let four = format!("{},0", plain.replace('.', ","));
    format!(
        r#"1 ICON "icon.ico"
1 24 "nicgate-client.manifest"
1 VERSIONINFO
FILEVERSION {four}
PRODUCTVERSION {four}
FILEOS 0x40004
FILETYPE 1
BEGIN
  BLOCK "StringFileInfo"
  BEGIN
    BLOCK "040904b0"
    BEGIN
      VALUE "FileDescription", "nicgate client: keeps this machine's name right"
      VALUE "FileVersion", "{version}"
      VALUE "InternalName", "nicgate-client"
      VALUE "LegalCopyright", "MIT OR Apache-2.0"
      VALUE "OriginalFilename", "nicgate-client.exe"
      VALUE "ProductName", "nicgate"
      VALUE "ProductVersion", "{version}"
    END
  END
  BLOCK "VarFileInfo"
  BEGIN
    VALUE "Translation", 0x409, 1200
  END
END
"#
    )
}
