//! Reads the configuration and finds every mistake that can be found without starting: each
//! error names the key, where it stands (line, variable or flag), and the nearest valid one.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml_edit::{Document, Item, TableLike};

use super::schema::{self, CONFIG_VERSION, Form, KEYS, Key, SECTIONS, Value};
use super::settings::Settings;
use crate::role::Roles;

/// Where values come from; later ones win: defaults, file, environment, command line.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The path of the file (for messages) and its content.
    pub file: Option<(PathBuf, String)>,
    /// The environment: names and values.
    pub environment: Vec<(String, String)>,
    /// `section.key=value` from the command line.
    pub set: Vec<String>,
}

/// Where one value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file, from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// `--set`.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File(path, line) => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(text) => write!(f, "--set {text}"),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not TOML.
    #[error("{origin}: not TOML: {why}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        why: String,
    },
    /// A key, section or variable that does not exist.
    #[error("{origin}: unknown {kind} `{name}`; the nearest valid one is `{nearest}`")]
    Unknown {
        /// Where.
        origin: Origin,
        /// `key`, `section` or `variable`.
        kind: &'static str,
        /// As it was written.
        name: String,
        /// The most similar one that exists.
        nearest: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{origin}: `{key}` must be {form}, not {found}; its default is `{name} = {default}`")]
    Form {
        /// Where.
        origin: Origin,
        /// As `section.key`.
        key: String,
        /// The key alone.
        name: &'static str,
        /// What it must be.
        form: String,
        /// What was found.
        found: String,
        /// Its default.
        default: String,
    },
    /// A value of the right type that makes no sense.
    #[error("{origin}: `{key}`: {why}")]
    Meaning {
        /// Where.
        origin: Origin,
        /// As `section.key`.
        key: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A version that this build cannot read.
    #[error(
        "{origin}: config_version is {found}, this build reads {CONFIG_VERSION}; run `ferry init` in a new directory for an up-to-date file and carry your settings over"
    )]
    Version {
        /// Where.
        origin: Origin,
        /// What the file says.
        found: String,
    },
}

/// Values with their origins, by section and name.
#[derive(Debug, Clone)]
pub struct Values {
    roles: Roles,
    found: BTreeMap<(&'static str, &'static str), (Value, Origin)>,
}

impl Values {
    /// The value of a key and where it was found.
    pub fn get(&self, key: &Key) -> (Value, Origin) {
        self.found
            .get(&(key.section, key.name))
            .cloned()
            .unwrap_or_else(|| ((key.default)(&self.roles), Origin::Default))
    }
}

/// Reads all sources and makes the settings of the node in `directory`, or lists every mistake.
pub fn load(sources: &Sources, directory: &Path) -> Result<Settings, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut found = BTreeMap::new();
    if let Some((path, text)) = &sources.file {
        read_file(path, text, &mut found, &mut errors);
    }
    read_environment(&sources.environment, &mut found, &mut errors);
    read_flags(&sources.set, &mut found, &mut errors);
    let roles = roles(&found, &mut errors);
    let Some(roles) = roles.filter(|_| errors.is_empty()) else {
        return Err(errors);
    };
    Settings::from_values(&Values { roles, found }, directory)
}

type Found = BTreeMap<(&'static str, &'static str), (Value, Origin)>;

/// The roles come first, because the defaults of other keys depend on them.
fn roles(found: &Found, errors: &mut Vec<ConfigError>) -> Option<Roles> {
    let Some((Value::List(names), origin)) = found.get(&("node", "roles")) else {
        if errors.is_empty() {
            errors.push(ConfigError::Meaning {
                origin: Origin::Default,
                key: "node.roles".to_owned(),
                why: "no role is set; write for example roles = [\"edge\"] under [node]".to_owned(),
            });
        }
        return None;
    };
    Roles::from_names(names.iter().map(String::as_str))
        .map_err(|why| {
            let (origin, key) = (origin.clone(), "node.roles".to_owned());
            errors.push(ConfigError::Meaning { origin, key, why });
        })
        .ok()
}

fn read_file(path: &Path, text: &str, found: &mut Found, errors: &mut Vec<ConfigError>) {
    let at = |span: Option<Range<usize>>| {
        let start = span.map_or(0, |span| span.start);
        Origin::File(path.to_owned(), line_of(text, start))
    };
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let why = error.message().trim().to_owned();
            errors.push(ConfigError::Syntax {
                origin: at(error.span()),
                why,
            });
            return;
        }
    };
    for (name, item) in document.iter() {
        let origin = at(document.as_table().key(name).and_then(|key| key.span()));
        if name == "config_version" {
            if item.as_integer() != Some(CONFIG_VERSION) {
                let shown = item.to_string().trim().to_owned();
                errors.push(ConfigError::Version {
                    origin,
                    found: shown,
                });
            }
            continue;
        }
        let known = SECTIONS.iter().find(|(section, _)| *section == name);
        match (known, item.as_table_like()) {
            (Some((section, _)), Some(table)) => {
                read_section(section, table, &at, found, errors);
            }
            (Some((section, _)), None) => errors.push(ConfigError::Meaning {
                origin,
                key: name.to_owned(),
                why: format!("is a section: write [{section}] on a line of its own"),
            }),
            (None, table) => errors.push(ConfigError::Unknown {
                origin,
                kind: if table.is_some() { "section" } else { "key" },
                name: name.to_owned(),
                nearest: nearest_top(name, table.is_some()),
            }),
        }
    }
}

fn read_section(
    section: &'static str,
    table: &dyn TableLike,
    at: &dyn Fn(Option<Range<usize>>) -> Origin,
    found: &mut Found,
    errors: &mut Vec<ConfigError>,
) {
    for (name, item) in table.iter() {
        let origin = at(table.key(name).and_then(|key| key.span()));
        let Some(key) = schema::find(section, name) else {
            errors.push(ConfigError::Unknown {
                origin,
                kind: "key",
                name: format!("{section}.{name}"),
                nearest: nearest_key(section, name),
            });
            continue;
        };
        match read_item(key.form, item) {
            Some(value) => {
                found.insert((key.section, key.name), (value, origin));
            }
            None => errors.push(wrong_form(key, origin, describe_item(item), found)),
        }
    }
}

/// The value of a TOML item, if it has the form.
fn read_item(form: Form, item: &Item) -> Option<Value> {
    match form {
        Form::Flag => item.as_bool().map(Value::Flag),
        Form::Count(min, max) => item
            .as_integer()
            .filter(|n| (min..=max).contains(n))
            .map(Value::Count),
        Form::Number(min, max) => {
            // Any whole number in range is exact as f64, the ranges are small.
            let number = item
                .as_float()
                .or_else(|| item.as_integer().map(|n| n as f64))?;
            (min..=max)
                .contains(&number)
                .then_some(Value::Number(number))
        }
        Form::Word(words) => item
            .as_str()
            .filter(|word| words.contains(word))
            .map(Value::text),
        Form::Text => item.as_str().map(Value::text),
        Form::List => {
            let texts = item
                .as_array()?
                .iter()
                .map(|value| value.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map(Value::List)
        }
    }
}

/// What was found, for a sentence: its type, and its text when it is short.
fn describe_item(item: &Item) -> String {
    let shown = item.to_string().trim().to_owned();
    match shown.chars().count() {
        0..=40 if !item.is_table_like() => format!("the {} {shown}", item.type_name()),
        _ => format!("a {}", item.type_name()),
    }
}

fn read_environment(
    environment: &[(String, String)],
    found: &mut Found,
    errors: &mut Vec<ConfigError>,
) {
    for (name, text) in environment {
        let origin = Origin::Variable(name.clone());
        if let Some(key) = KEYS.iter().find(|key| key.variable() == *name) {
            read_text(key, text, origin, found, errors);
        } else if let Some(section) = section_of_variable(name) {
            let rest = name.to_lowercase();
            let rest = rest
                .trim_start_matches("ferry_")
                .trim_start_matches(section);
            let near = nearest_key(section, rest.trim_start_matches('_'));
            let nearest = near
                .split_once('.')
                .and_then(|(section, name)| schema::find(section, name));
            errors.push(ConfigError::Unknown {
                origin,
                kind: "variable",
                name: name.clone(),
                nearest: nearest.map_or(near.clone(), Key::variable),
            });
        }
    }
}

/// Other programs of the project have variables that start with `FERRY_` as well; ours go on with
/// the name of a section.
fn section_of_variable(name: &str) -> Option<&'static str> {
    let (section, _) = name.strip_prefix("FERRY_")?.split_once('_')?;
    SECTIONS
        .iter()
        .map(|(known, _)| *known)
        .find(|known| known.to_uppercase() == section)
}

fn read_flags(set: &[String], found: &mut Found, errors: &mut Vec<ConfigError>) {
    for text in set {
        let origin = Origin::Flag(text.clone());
        let (path, value) = text.split_once('=').unwrap_or((text, ""));
        let (section, name) = path.split_once('.').unwrap_or(("", path));
        match schema::find(section, name) {
            Some(key) if text.contains('=') => read_text(key, value, origin, found, errors),
            Some(_) => errors.push(ConfigError::Meaning {
                origin,
                key: path.to_owned(),
                why: "has no value: write section.key=value".to_owned(),
            }),
            None => errors.push(ConfigError::Unknown {
                origin,
                kind: "key",
                name: path.to_owned(),
                nearest: nearest_key(section, name),
            }),
        }
    }
}

/// A value from plain text: no quotes, lists separated by commas.
fn read_text(
    key: &'static Key,
    text: &str,
    origin: Origin,
    found: &mut Found,
    errors: &mut Vec<ConfigError>,
) {
    let text = text.trim();
    let value = match key.form {
        Form::Flag => text.parse().ok().map(Value::Flag),
        Form::Count(min, max) => text
            .parse()
            .ok()
            .filter(|n| (min..=max).contains(n))
            .map(Value::Count),
        Form::Number(min, max) => text
            .parse()
            .ok()
            .filter(|n| (min..=max).contains(n))
            .map(Value::Number),
        Form::Word(words) => words.contains(&text).then(|| Value::text(text)),
        Form::Text => Some(Value::text(text)),
        Form::List => {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            Some(Value::List(parts.map(str::to_owned).collect()))
        }
    };
    match value {
        Some(value) => {
            found.insert((key.section, key.name), (value, origin));
        }
        None => errors.push(wrong_form(key, origin, format!("{text:?}"), found)),
    }
}

fn wrong_form(key: &'static Key, origin: Origin, found: String, values: &Found) -> ConfigError {
    let roles = match values.get(&("node", "roles")) {
        Some((Value::List(names), _)) => Roles::from_names(names.iter().map(String::as_str)).ok(),
        _ => None,
    };
    let roles = roles.or_else(|| Roles::check([crate::role::Role::Edge]).ok());
    ConfigError::Form {
        origin,
        key: format!("{}.{}", key.section, key.name),
        name: key.name,
        form: key.form.describe(),
        found,
        default: roles
            .map(|roles| (key.default)(&roles).to_string())
            .unwrap_or_default(),
    }
}

/// The most similar key, as `section.key`: one of the same section unless another is much nearer.
fn nearest_key(section: &str, name: &str) -> String {
    let distance = |key: &Key| {
        let elsewhere = usize::from(key.section != section) * ELSEWHERE_PENALTY;
        strsim::damerau_levenshtein(key.name, name) + elsewhere
    };
    KEYS.iter()
        .min_by_key(|key| distance(key))
        .map(|key| format!("{}.{}", key.section, key.name))
        .unwrap_or_default()
}

/// What was meant at the top of the file: a section, or a key that stands above its section.
fn nearest_top(name: &str, is_table: bool) -> String {
    let sections = SECTIONS
        .iter()
        .map(|(section, _)| (*section, format!("[{section}]")));
    let keys = KEYS
        .iter()
        .map(|key| (key.name, format!("{}.{}", key.section, key.name)));
    let version = [("config_version", "config_version".to_owned())];
    let candidates: Vec<(&str, String)> = if is_table {
        sections.collect()
    } else {
        keys.chain(version).collect()
    };
    candidates
        .into_iter()
        .min_by_key(|(known, _)| strsim::damerau_levenshtein(known, name))
        .map(|(_, shown)| shown)
        .unwrap_or_default()
}

/// Number of the line, from 1, that holds byte `start`.
fn line_of(text: &str, start: usize) -> usize {
    1 + text
        .bytes()
        .take(start)
        .filter(|byte| *byte == b'\n')
        .count()
}

/// Typing errors are one or two letters; a key of another section must be clearly nearer.
const ELSEWHERE_PENALTY: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let sources = Sources {
            file: Some(("config.toml".into(), text.into())),
            ..Sources::default()
        };
        match load(&sources, Path::new("d")) {
            Ok(_) => vec![],
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    const HEAD: &str = "config_version = 1\n[node]\nroles = [\"bridge\"]\n";

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
        let found = errors(&format!("{HEAD}[whisper]\n\nmin_pwo = 0.002\n"));
        assert_eq!(
            found,
            [
                "config.toml, line 6: unknown key `whisper.min_pwo`; the nearest valid one is `whisper.min_pow`"
            ]
        );
    }

    #[test]
    fn a_key_of_another_section_is_found() {
        let found = errors(&format!("{HEAD}[whisper]\ntopology = \"t.json\"\n"));
        assert!(
            found[0].contains("line 5") && found[0].contains("`mix.topology`"),
            "{found:?}"
        );
    }

    #[test]
    fn an_unknown_section_and_a_key_above_its_section_are_found() {
        let found = errors("[nodes]\nroles = [\"edge\"]\n");
        assert!(
            found[0].contains("line 1: unknown section `nodes`"),
            "{found:?}"
        );
        assert!(found[0].contains("`[node]`"), "{found:?}");
        let found = errors("role = [\"edge\"]\n");
        assert!(found[0].contains("unknown key `role`"), "{found:?}");
        assert!(found[0].contains("`node.roles`"), "{found:?}");
    }

    #[test]
    fn a_wrong_type_names_key_line_type_and_default() {
        let found = errors(&format!("{HEAD}[whisper]\nmin_pow = \"0.002\"\n"));
        assert_eq!(
            found,
            [
                "config.toml, line 5: `whisper.min_pow` must be a number from 0 to 1000, without quotes, \
              not the string \"0.002\"; its default is `min_pow = 0.001`"
            ]
        );
        for (line, part) in [
            ("[whisper]\nmin_pow = true", "boolean"),
            ("[whisper]\nmin_pow = nan", "float"),
            ("[whisper]\nmax_peers = 0", "from 1 to 1000"),
            ("[whisper]\nmax_peers = 3.5", "float"),
            (
                "[whisper]\nstatic_peers = \"enode://\"",
                "a list of strings",
            ),
            ("[whisper]\nstatic_peers = [1]", "a list of strings"),
            ("[whisper]\ndiscovery = true", "one of \"auto\""),
            ("[whisper]\nbootnodes = \"enode://\"", "a list of strings"),
            ("[mix]\npreset = \"quick\"", "one of \"fast\""),
            ("[bridge]\nreseal = 1", "true or false"),
            ("[log.level]\nx = 1", "a table"),
        ] {
            let found = errors(&format!("{HEAD}{line}\n"));
            assert!(
                found.len() == 1 && found[0].contains(part),
                "{line}: {found:?}"
            );
        }
    }

    #[test]
    fn a_trace_is_written_on_loopback_only() {
        let settings = |listen: &str| {
            let text = format!(
                "[node]\nroles = [\"relay\"]\n[mix]\nlisten = \"{listen}\"\ntrace_file = \"trace.txt\"\n"
            );
            let sources = Sources {
                file: Some(("c".into(), text)),
                ..Sources::default()
            };
            load(&sources, Path::new("d"))
        };
        let file = settings("127.0.0.1:1").unwrap().mix.trace_file;
        assert_eq!(file, Some(Path::new("d").join("trace.txt")));
        let refused = settings("0.0.0.0:1").unwrap_err();
        assert!(
            refused[0].to_string().contains("is not loopback"),
            "{refused:?}"
        );
    }

    #[test]
    fn discovery_follows_the_role_and_the_address() {
        for (text, on) in [
            ("roles = [\"whisper\"]", true),
            ("roles = [\"bridge\"]", true),
            ("roles = [\"relay\"]", false),
            ("roles = [\"edge\"]", false),
            (
                "roles = [\"whisper\"]\n[whisper]\nlisten = \"127.0.0.1:1\"",
                false,
            ),
            ("roles = [\"whisper\"]\n[whisper]\nlisten = \"\"", false),
            (
                "roles = [\"whisper\"]\n[whisper]\nlisten = \"127.0.0.1:1\"\ndiscovery = \"yes\"",
                true,
            ),
            ("roles = [\"bridge\"]\n[whisper]\ndiscovery = \"no\"", false),
        ] {
            let sources = Sources {
                file: Some(("c".into(), format!("[node]\n{text}\n"))),
                ..Sources::default()
            };
            let settings = load(&sources, Path::new("d")).unwrap();
            assert_eq!(settings.whisper.discovery, on, "{text}");
        }
    }

    #[test]
    fn discovery_and_routers_need_what_they_need() {
        let listen = "[whisper]\nlisten = \"127.0.0.1:1\"\n";
        for (role, text, part) in [
            ("edge", "[whisper]\ndiscovery = \"yes\"", "never looks"),
            (
                "bridge",
                "[whisper]\nlisten = \"\"\ndiscovery = \"yes\"",
                "needs the address",
            ),
            ("bridge", &format!("{listen}nat = \"any\""), "is off here"),
            ("bridge", "[whisper]\nnat = \"router\"", "extip:"),
            ("bridge", "[whisper]\nnat = \"extip:x\"", "IP address"),
            ("bridge", "[whisper]\nbootnodes = [\"enr:-\"]", "base64"),
            ("bridge", "[whisper]\nbootnodes = [\"1.2.3.4:5\"]", "enode"),
        ] {
            let found = errors(&format!("[node]\nroles = [\"{role}\"]\n{text}\n"));
            assert!(
                found.len() == 1 && found[0].contains(part),
                "{text}: {found:?}"
            );
        }
        let sources = Sources {
            file: Some((
                "c".into(),
                "[node]\nroles = [\"bridge\"]\n[whisper]\nnat = \"extip:90.1.2.3\"\n".into(),
            )),
            ..Sources::default()
        };
        let settings = load(&sources, Path::new("d")).unwrap();
        assert_eq!(settings.whisper.advertise.unwrap().to_string(), "90.1.2.3");
    }

    #[test]
    fn every_mistake_is_listed_at_once() {
        let found = errors(&format!("{HEAD}[mix]\npreset = 1\nlisten = 2\nfoo = 3\n"));
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn text_that_is_no_toml_names_its_line() {
        let found = errors("[node]\nroles = [\n");
        assert!(
            found[0].starts_with("config.toml, line ") && found[0].contains("not TOML"),
            "{found:?}"
        );
        assert!(errors("[node]\nroles=[\"edge\"]\nroles=[\"edge\"]\n")[0].contains("line 3"));
    }

    #[test]
    fn a_missing_role_another_version_and_a_section_as_value_are_refused() {
        assert!(errors("")[0].contains("node.roles"));
        assert!(
            errors("config_version = 2\n[node]\nroles=[\"edge\"]\n")[0]
                .contains("config_version is 2")
        );
        assert!(errors("whisper = 3\n[node]\nroles=[\"edge\"]\n")[0].contains("write [whisper]"));
        assert!(errors("[node]\nroles=[\"edge\",\"bridge\"]\n")[0].contains("two directories"));
    }

    #[test]
    fn later_sources_win() {
        let mut sources = Sources {
            file: Some((
                "config.toml".into(),
                format!("{HEAD}[whisper]\nmin_pow = 0.1\nmax_peers = 7\n"),
            )),
            environment: vec![
                ("FERRY_WHISPER_MIN_POW".into(), "0.2".into()),
                ("FERRY_WHISPER_MAX_PEERS".into(), "8".into()),
                ("FERRY_INTEROP_DIR".into(), "not ours".into()),
                ("PATH".into(), "/bin".into()),
            ],
            set: vec!["whisper.max_peers=9".into()],
        };
        let settings = load(&sources, Path::new("d")).unwrap();
        assert_eq!(settings.whisper.min_pow, 0.2);
        assert_eq!(settings.whisper.max_peers, 9);
        sources.environment = vec![];
        assert_eq!(load(&sources, Path::new("d")).unwrap().whisper.min_pow, 0.1);
    }

    #[test]
    fn mistakes_in_variables_and_flags_are_found() {
        let base = Sources {
            file: Some(("config.toml".into(), HEAD.into())),
            ..Sources::default()
        };
        let environment = vec![
            ("FERRY_WHISPER_MINPOW".into(), "1".into()),
            ("FERRY_BRIDGE_RESEAL".into(), "yes".into()),
        ];
        let set = vec![
            "whisper.min_pow".into(),
            "mix.presets=fast".into(),
            "log.format=xml".into(),
        ];
        let found = load(
            &Sources {
                environment,
                set,
                ..base
            },
            Path::new("d"),
        )
        .unwrap_err();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        for part in [
            "environment variable FERRY_WHISPER_MINPOW: unknown variable `FERRY_WHISPER_MINPOW`; the nearest valid one is `FERRY_WHISPER_MIN_POW`",
            "environment variable FERRY_BRIDGE_RESEAL: `bridge.reseal` must be true or false",
            "--set whisper.min_pow: `whisper.min_pow`: has no value",
            "the nearest valid one is `mix.preset`",
            "--set log.format=xml: `log.format` must be one of",
        ] {
            assert!(
                found.iter().any(|line| line.contains(part)),
                "{part}: {found:#?}"
            );
        }
    }
}
