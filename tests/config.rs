//! The configuration of a real directory: what `ferry init` writes, and what `ferry run` says about
//! a file that somebody edited.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ferry::config::schema::KEYS;
use ferry::config::{Sources, load};

fn ferry(args: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(args)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn init(base: &Path, role: &str) -> PathBuf {
    let dir = base.join(role.replace(',', "-"));
    let made = ferry(
        &["init", "--role", role, "--dir", dir.to_str().unwrap()],
        &[],
    );
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    dir
}

/// What `ferry run` says about the directory; it must not start.
fn complaint(dir: &Path, environment: &[(&str, &str)]) -> String {
    let output = ferry(&["run", "--dir", dir.to_str().unwrap()], environment);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(10), "{text}");
    text
}

fn edit(dir: &Path, from: &str, to: &str) -> usize {
    let path = dir.join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in the file");
    let line =
        text.split(from).next().unwrap().lines().count() + usize::from(from.starts_with('\n'));
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    line
}

#[test]
fn a_fresh_file_says_exactly_the_defaults_for_every_role() {
    let base = tempfile::tempdir().unwrap();
    for role in ["edge", "bridge", "relay", "whisper", "bridge,relay,whisper"] {
        let dir = init(base.path(), role);
        let text = fs::read_to_string(dir.join("config.toml")).unwrap();
        let parse = |text: String| {
            let sources = Sources {
                file: Some(("c".into(), text)),
                ..Sources::default()
            };
            load(&sources, &dir).unwrap()
        };
        let roles: Vec<String> = role.split(',').map(|role| format!("{role:?}")).collect();
        let bare = format!("[node]\nroles = [{}]\n", roles.join(","));
        assert_eq!(parse(text.clone()), parse(bare), "{role}");
        for key in KEYS {
            assert!(
                text.contains(&format!("# {} Default: ", key.why)),
                "{}",
                key.name
            );
            assert!(text.contains(&format!("\n{} = ", key.name)), "{}", key.name);
        }
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_nearest_one() {
    let base = tempfile::tempdir().unwrap();
    let dir = init(base.path(), "bridge");
    let line = edit(&dir, "\nmin_pow = 0.001", "\nmin_pwo = 0.001");
    let text = complaint(&dir, &[]);
    for part in [
        format!("config.toml, line {line}:"),
        "unknown key `whisper.min_pwo`".to_owned(),
        "the nearest valid one is `whisper.min_pow`".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

#[test]
fn a_wrong_type_is_named_with_its_line_and_what_it_must_be() {
    let base = tempfile::tempdir().unwrap();
    let dir = init(base.path(), "bridge");
    let line = edit(&dir, "\nmin_pow = 0.001", "\nmin_pow = \"little\"");
    let text = complaint(&dir, &[]);
    for part in [
        format!("config.toml, line {line}:"),
        "`whisper.min_pow` must be a number".to_owned(),
        "the string \"little\"".to_owned(),
        "its default is `min_pow = 0.001`".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

#[test]
fn values_without_a_meaning_are_refused() {
    let base = tempfile::tempdir().unwrap();
    for (role, from, to, part) in [
        (
            "bridge",
            "\nstatic_peers = []",
            "\nstatic_peers = [\"enode://12@1.2.3.4:5\"]",
            "enode",
        ),
        (
            "bridge",
            "\nlisten = \"0.0.0.0:60000\"",
            "\nlisten = \"0.0.0.0:0\"",
            "mix.listen",
        ),
        (
            "bridge",
            "\nlisten = \"127.0.0.1:8645\"",
            "\nlisten = \"0.0.0.0:8645\"",
            "not loopback",
        ),
        (
            "edge",
            "\nlisten = \"127.0.0.1:30303\"",
            "\nlisten = \"0.0.0.0:30303\"",
            "not loopback",
        ),
        (
            "edge",
            "\nblock_low = ",
            "\nblock_low = 4",
            "below block_high",
        ),
        ("edge", "\nbridge = \"\"", "\nbridge = \"xyz\"", "peer key"),
        (
            "relay",
            "\nadvertise = \"\"\n# Listen",
            "\nadvertise = \"example.org\"\n# Listen",
            "mix.advertise",
        ),
        (
            "relay",
            "\nlevel = \"info\"",
            "\nlevel = \"info,=,\"",
            "log.level",
        ),
    ] {
        let dir = init(
            &base
                .path()
                .join(part.replace([' ', '.'], "-"))
                .join(to.len().to_string()),
            role,
        );
        edit(&dir, from, to);
        let text = complaint(&dir, &[]);
        assert!(
            text.contains(part) && text.contains("line "),
            "{part}: {text}"
        );
    }
}

#[test]
fn the_environment_is_checked_as_well() {
    let base = tempfile::tempdir().unwrap();
    let dir = init(base.path(), "relay");
    let text = complaint(&dir, &[("FERRY_MIX_PRESETS", "fast")]);
    assert!(
        text.contains("the nearest valid one is `FERRY_MIX_PRESET`"),
        "{text}"
    );
    let text = complaint(&dir, &[("FERRY_LOG_FORMAT", "xml")]);
    assert!(
        text.contains("environment variable FERRY_LOG_FORMAT"),
        "{text}"
    );
}

#[test]
fn a_directory_of_another_role_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let dir = init(base.path(), "relay");
    edit(&dir, "\nroles = [\"relay\"]", "\nroles = [\"bridge\"]");
    let text = complaint(&dir, &[]);
    assert!(text.contains("the directory of another role"), "{text}");
    assert!(
        text.contains("made for relay, but its configuration says bridge"),
        "{text}"
    );
}

#[test]
fn a_missing_configuration_is_named() {
    let base = tempfile::tempdir().unwrap();
    let dir = init(base.path(), "relay");
    fs::remove_file(dir.join("config.toml")).unwrap();
    assert!(complaint(&dir, &[]).contains("config.toml"));
}
