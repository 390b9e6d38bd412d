//! `ferry window`: opens the window of a running node's preset.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{id, out, runtime};
use crate::devnet::probe;
use crate::directory::Directory;
use crate::exit::Exit;
use crate::failure::Failure;

/// Opens the window of a running node, so that it sends at its full rate, or shows how long it is open.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node's directory.
    #[arg(long, value_name = "DIR", env = "FERRY_DIR")]
    dir: PathBuf,
    /// For so many minutes from now, in steps of ten; 0 lets it close with the step in progress. Without it nothing changes.
    #[arg(value_name = "MINUTES", value_parser = clap::value_parser!(u16).range(0..=1440))]
    minutes: Option<u16>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let settings = id::settings(&Directory::open(&options.dir)?, &[])?;
    let api = settings.api.listen;
    let answer = runtime::of_a_command()?.block_on(async {
        match options.minutes {
            Some(minutes) => {
                let body = json!({ "minutes": minutes });
                probe::post(api, "/v1/mix/window", &body).await
            }
            None => probe::get(api, "/v1/mix").await,
        }
    });
    let answer = answer.map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the node does not answer at http://{api}"),
            error.to_string(),
            "check that it runs",
        )
    })?;
    if let Some(message) = answer["error"]["message"].as_str() {
        return Err(Failure::new(
            Exit::Failed,
            "the node refuses",
            message,
            answer["error"]["what_to_do"].as_str().unwrap_or_default(),
        ));
    }
    let window = &answer["window"];
    out::say(&match options.json {
        true => window.to_string(),
        false => describe(window),
    });
    Ok(Exit::Ok)
}

fn describe(window: &Value) -> String {
    let foreground = match window["foreground"].as_bool() {
        Some(true) => "; it stays open while the client is there",
        Some(false) | None => "",
    };
    match (window["state"].as_str(), window["minutes_left"].as_u64()) {
        (Some("open"), Some(minutes)) => format!("open for {minutes} minutes{foreground}"),
        (Some("closed"), _) => "closed: packets leave at the idle rate".to_owned(),
        _ => "always open: the preset has no window".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_told_in_words() {
        let open = json!({"state": "open", "minutes_left": 7, "foreground": true});
        assert!(describe(&open).starts_with("open for 7 minutes; it stays"));
        let open = json!({"state": "open", "minutes_left": 7, "foreground": false});
        assert_eq!(describe(&open), "open for 7 minutes");
        assert!(describe(&json!({"state": "closed", "minutes_left": null})).starts_with("closed"));
        assert!(describe(&json!({"state": "always"})).starts_with("always"));
    }
}
