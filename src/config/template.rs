//! The `config.toml` that `ferry init` writes: every key with its default and one line of why.

use std::fmt::Write;

use super::schema::{self, CONFIG_VERSION, KEYS, Key, Ports, SECTIONS, Value};
use crate::role::Roles;

/// Values that differ from the defaults, by section and name.
pub type Overrides<'a> = &'a [(&'a str, &'a str, Value)];

/// The file for a node with these roles and ports.
pub fn render(roles: &Roles, ports: Ports, overrides: Overrides<'_>) -> String {
    let mut text = String::from(
        "# The configuration of a ferry node. Environment variables FERRY_<SECTION>_<KEY> and\n\
         # `ferry run --set section.key=value` win over this file; an unknown key is an error.\n",
    );
    let _ = writeln!(
        text,
        "\n# Version of this file's format.\nconfig_version = {CONFIG_VERSION}"
    );
    for (section, about) in SECTIONS {
        let _ = writeln!(text, "\n# {about}\n[{section}]");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let default = (key.default)(roles);
            let value = value(key, roles, ports, overrides);
            let _ = writeln!(text, "# {} Default: {default}", key.why);
            let _ = writeln!(text, "{} = {value}", key.name);
        }
    }
    text
}

/// An override, the port of this node, or the default.
fn value(key: &Key, roles: &Roles, ports: Ports, overrides: Overrides<'_>) -> Value {
    let set = overrides
        .iter()
        .find(|(section, name, _)| (*section, *name) == (key.section, key.name));
    if let Some((_, _, value)) = set {
        return value.clone();
    }
    let [whisper, mix, api] = schema::listen(roles, ports);
    let [http, ws, ipc] = schema::rpc(roles, ports);
    match (key.section, key.name) {
        ("whisper", "listen") => whisper,
        ("mix", "listen") => mix,
        ("api", "listen") => api,
        ("rpc", "http") => http,
        ("rpc", "ws") => ws,
        ("rpc", "ipc") => ipc,
        _ => (key.default)(roles),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Sources, load};

    fn parse(text: &str) -> crate::config::Settings {
        let sources = Sources {
            file: Some(("config.toml".into(), text.into())),
            ..Sources::default()
        };
        load(&sources, Path::new("d")).unwrap()
    }

    #[test]
    fn a_written_file_says_exactly_the_defaults() {
        for roles in [
            "edge",
            "bridge",
            "relay",
            "mailbox",
            "whisper",
            "bridge,relay,mailbox,whisper",
            "edge,relay",
        ] {
            let roles: Roles = roles.parse().unwrap();
            let bare = format!("[node]\nroles = {}\n", (KEYS[0].default)(&roles));
            let written = render(&roles, Ports::DEFAULT, &[]);
            assert_eq!(parse(&written), parse(&bare), "{roles}");
        }
    }

    #[test]
    fn every_key_stands_there_once_with_its_true_default() {
        let roles: Roles = "bridge".parse().unwrap();
        let written = render(&roles, Ports::DEFAULT, &[]);
        let document: toml_edit::DocumentMut = written.parse().unwrap();
        for key in KEYS {
            let value = &document[key.section][key.name];
            assert_eq!(
                value.to_string().trim(),
                (key.default)(&roles).to_string(),
                "{}",
                key.name
            );
            let line = format!(
                "# {} Default: {}\n{} = ",
                key.why,
                (key.default)(&roles),
                key.name
            );
            assert_eq!(written.matches(&line).count(), 1, "{line}");
        }
        let count: usize = SECTIONS
            .iter()
            .map(|(section, _)| document[section].as_table().unwrap().len())
            .sum();
        assert_eq!(count, KEYS.len());
    }

    #[test]
    fn ports_and_overrides_are_written() {
        let roles: Roles = "bridge".parse().unwrap();
        let ports = Ports::from_base(41000).unwrap();
        let overrides = [
            ("whisper", "static_peers", Value::List(vec![])),
            ("log", "format", Value::text("json")),
            ("mix", "advertise", Value::text("127.0.0.1")),
        ];
        let settings = parse(&render(&roles, ports, &overrides));
        assert_eq!(settings.whisper.listen.unwrap().port(), 41000);
        assert_eq!(
            settings.mix.advertise.unwrap().to_string(),
            "127.0.0.1:41001"
        );
        assert_eq!(settings.api.listen.port(), 41002);
        assert_eq!(
            settings.log.format,
            crate::config::settings::LogFormat::Json
        );
    }
}
