//! `ferry preset`: what a preset gives and costs.

use clap::Args;
use mixnet::Preset;
use serde_json::{Value, json};

use super::out;
use crate::exit::Exit;
use crate::failure::Failure;

/// Shows what a preset of the mixnet gives and costs: latency, bytes per month, the crowd at a relay.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Its name; without one, all of them.
    #[arg(value_name = "NAME")]
    name: Option<String>,
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

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
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
    for preset in presets {
        match options.json {
            true => out::say(&object(&preset, options).to_string()),
            false => describe(&preset, options),
        }
    }
    Ok(Exit::Ok)
}

fn object(preset: &Preset, options: &Options) -> Value {
    let latency = preset.latency().map(|latency| {
        json!({"p50": latency.p50.as_secs_f64(), "p95": latency.p95.as_secs_f64(), "p99": latency.p99.as_secs_f64()})
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
        "latency_seconds": latency,
        "bytes_per_month": preset.bytes_per_month().round(),
        "users": options.users,
        "relays": options.relays,
        "pool": preset.pool(options.users.into(), options.relays.into()),
    })
}

fn describe(preset: &Preset, options: &Options) {
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
}
