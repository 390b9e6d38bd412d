//! `ferry preset`: what a preset gives and costs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mixnet::preset::{DELAYS_MS, Latency};
use mixnet::{Class, Level, Preset};
use serde_json::{Value, json};

use super::{id, out};
use crate::directory::Directory;
use crate::exit::Exit;
use crate::failure::Failure;

/// Shows what a preset of the mixnet gives and costs: latency, bytes per month, the crowd at a relay; and what each class of
/// messages gets, or would get with the delay of another preset.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Its name; without one, all of them.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// A node's directory: shows its preset, and its classes of messages as they are configured there.
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    dir: Option<PathBuf>,
    /// Users of the same preset whose window is open at a time, for the pool.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Relays of the network, for the pool.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(3..))]
    relays: u32,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

/// What a row about a class says: its name, its level.
type Row = (String, Level);

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    if let Some(dir) = &options.dir {
        let settings = id::settings(&Directory::open(dir)?, &[])?;
        let (preset, protection) = crate::node::protection_of(&settings)?;
        let row = |class: Class| (class.as_str().to_owned(), protection.levels.of_class(class));
        show(&preset, &Class::ALL.map(row), options);
        return Ok(Exit::Ok);
    }
    let presets: Vec<Preset> = match &options.name {
        None => Preset::ALL.to_vec(),
        Some(name) => match Preset::named(name) {
            Some(preset) => vec![preset],
            None => {
                let names: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name).collect();
                out::complain(&format!(
                    "ferry: there is no preset {name:?}: choose one of {}",
                    names.join(", ")
                ));
                return Ok(Exit::Usage);
            }
        },
    };
    let rung = |delay_ms| Some((format!("at {delay_ms} ms"), Level::new(delay_ms, 1).ok()?));
    let rows: Vec<Row> = DELAYS_MS.into_iter().filter_map(rung).collect();
    for preset in presets {
        show(&preset, &rows, options);
    }
    Ok(Exit::Ok)
}

fn show(preset: &Preset, rows: &[Row], options: &Options) {
    match options.json {
        true => out::say(&object(preset, rows, options).to_string()),
        false => describe(preset, rows, options),
    }
}

fn pool(preset: &Preset, level: Level, options: &Options) -> f64 {
    let delay = Duration::from_millis(level.delay_ms().into());
    preset.pool_at(options.users.into(), options.relays.into(), delay)
}

fn latency(preset: &Preset, level: Level) -> Option<Latency> {
    preset.latency_at(Duration::from_millis(level.delay_ms().into()))
}

fn quantiles(latency: Latency) -> Value {
    json!({"p50": latency.p50.as_secs_f64(), "p95": latency.p95.as_secs_f64(), "p99": latency.p99.as_secs_f64()})
}

fn object(preset: &Preset, rows: &[Row], options: &Options) -> Value {
    let classes = rows.iter().map(|(name, level)| {
        json!({
            "class": name,
            "delay_ms_mean": level.delay_ms(),
            "copies": level.copies(),
            "latency_seconds": latency(preset, *level).map(quantiles),
            "pool": pool(preset, *level, options),
        })
    });
    json!({
        "name": preset.name,
        "version": preset.version,
        "payload_rate": preset.payload_rate,
        "loop_rate": preset.loop_rate,
        "drop_rate": preset.drop_rate,
        "delay_ms_mean": preset.delay_ms_mean,
        "idle_rate": preset.idle_rate,
        "window_minutes": preset.window_minutes,
        "latency_seconds": preset.latency().map(quantiles),
        "latency_idle_seconds": preset.latency_idle().filter(|_| !preset.is_always_open()).map(quantiles),
        "classes": classes.collect::<Vec<_>>(),
        "bytes_per_month": preset.bytes_per_month().round(),
        "users": options.users,
        "relays": options.relays,
        "pool": preset.pool(options.users.into(), options.relays.into()),
    })
}

fn describe(preset: &Preset, rows: &[Row], options: &Options) {
    out::say(&format!("{} (version {})", preset.name, preset.version));
    out::say(&format!(
        "  sends      {}/s messages or cover, {}/s loops, {}/s cover, in a window of {} minutes a day; {:.4}/s otherwise",
        preset.payload_rate,
        preset.loop_rate,
        preset.drop_rate,
        preset.window_minutes,
        preset.idle_rate
    ));
    out::say(&format!(
        "  rests      {} ms on average before sending and at each of three relays",
        preset.delay_ms_mean
    ));
    match preset.latency() {
        Some(latency) => out::say(&format!(
            "  latency    {:.2} s for half of the messages, {:.2} s for 95 %, {:.2} s for 99 %, one way, in the window",
            latency.p50.as_secs_f64(),
            latency.p95.as_secs_f64(),
            latency.p99.as_secs_f64()
        )),
        None => out::say("  latency    it sends no messages of its own"),
    }
    if let Some(idle) = preset.latency_idle().filter(|_| !preset.is_always_open()) {
        out::say(&format!(
            "  idle       {:.0} s for half of the messages, {:.0} s for 99 %, while the window is closed",
            idle.p50.as_secs_f64(),
            idle.p99.as_secs_f64()
        ));
    }
    out::say(&format!(
        "  volume     {:.2} GB a month, both ways together",
        preset.bytes_per_month() / 1e9
    ));
    out::say(&format!(
        "  pool       {:.1} packets at each of {} relays, with {} such users at a time",
        preset.pool(options.users.into(), options.relays.into()),
        options.relays,
        options.users
    ));
    for (name, level) in rows {
        let Some(latency) = latency(preset, *level) else {
            continue;
        };
        let copies = if level.copies() > 1 {
            ", sent twice"
        } else {
            ""
        };
        out::say(&format!(
            "  {name:<12} {:>4} ms{copies}: {:.2} s, {:.2} s, {:.2} s; a pool of {:.1}",
            level.delay_ms(),
            latency.p50.as_secs_f64(),
            latency.p95.as_secs_f64(),
            latency.p99.as_secs_f64(),
            pool(preset, *level, options)
        ));
    }
}
