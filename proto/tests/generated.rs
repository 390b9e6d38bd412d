//! The committed code in `src/gen` is what the `.proto` files make today.

use std::path::Path;

const SOURCES: [&str; 3] = ["mvds.proto", "mvds_compact.proto", "mixbridge.proto"];
const GENERATED: [&str; 3] = ["mvds.rs", "mvds.compact.rs", "mixbridge.v1.rs"];

#[test]
fn committed_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().expect("a temporary directory can be made");
    let mut compiler = protox::Compiler::new([root]).expect("the include path is this crate");
    compiler.include_source_info(true);
    compiler
        .open_files(SOURCES)
        .expect("the .proto files compile");
    prost_build::Config::new()
        .out_dir(fresh.path())
        .compile_fds(compiler.file_descriptor_set())
        .expect("code is generated");

    let mut made: Vec<String> = std::fs::read_dir(fresh.path())
        .expect("the directory is readable")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    made.sort();
    let mut expected = GENERATED.map(String::from);
    expected.sort();
    assert_eq!(made, expected, "each package makes one file");

    for name in GENERATED {
        let text = std::fs::read_to_string(fresh.path().join(name)).expect("a generated file");
        let committed = root.join("src/gen").join(name);
        if std::env::var_os("FERRY_REGENERATE").is_some() {
            std::fs::write(&committed, &text).expect("src/gen is writable");
        }
        let there = std::fs::read_to_string(&committed).unwrap_or_default();
        assert!(
            there == text,
            "src/gen/{name} is stale: run this test with FERRY_REGENERATE=1"
        );
    }
}
