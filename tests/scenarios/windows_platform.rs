//! The client's program for Windows: what Explorer and the system read of it without starting it, and that it starts.
//! What it asks of Windows is tested by its own unit tests, which `tests/windows` runs under Wine.

use nicgate_tests::wine::Wine;
use nicgate_tests::{run, text};

/// A text as resources have it.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn the_program_carries_version_icon_and_manifest() {
    let Some(wine) = Wine::find() else { return };
    let program = std::fs::read(wine.client()).unwrap();
    let has = |part: &[u8]| program.windows(part.len()).any(|window| window == part);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/resources");
    let manifest = std::fs::read(root.join("nicgate-client.manifest")).unwrap();
    assert!(has(&manifest), "the manifest, whole and as it is");
    // An icon's pictures stand one by one; each begins after a table of 6 + 16 bytes a picture that says where.
    let icon = std::fs::read(root.join("icon.ico")).unwrap();
    let number = |at: usize| u32::from_le_bytes(icon[at..at + 4].try_into().unwrap()) as usize;
    let pictures = usize::from(icon[4]);
    assert_eq!(pictures, 3);
    for entry in (0..pictures).map(|picture| 6 + 16 * picture) {
        let (length, start) = (number(entry + 8), number(entry + 12));
        assert!(has(&icon[start..start + length]), "a picture of {} dots", icon[entry]);
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        has(&utf16(&format!("ProductVersion\0{version}\0"))) || has(&utf16(&format!("ProductVersion\0\0{version}\0")))
    );
    let header = u16::from_le_bytes(program[0x3c..0x3e].try_into().unwrap());
    assert_eq!(&program[usize::from(header)..][..6], b"PE\0\0\x64\x86", "64 bits");
}

#[test]
fn the_program_starts_and_knows_its_version() {
    let Some(wine) = Wine::find() else { return };
    let output = run(wine.command(wine.client()).arg("--version"));
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains(env!("CARGO_PKG_VERSION")), "{}", text(&output));
}
