//! A live node under hostile peers: each ends with the right Disconnect, without a word, or with a counted drop, and
//! the node goes on serving others. Every case of the catalogue of malicious input has its test:
//!
//! | case | what is sent | test |
//! |---|---|---|
//! | M1 | a size of 0xffff before an auth | `transport::m1_a_huge_size_is_refused_by_its_two_bytes` |
//! | M2 | points off the curve, coordinates above the prime | `transport::m2_points_off_the_curve_are_refused` |
//! | M3 | ECIES bodies of 1 to 15 bytes | `transport::m3_short_bodies_are_refused`, `rlpx::ecies` for the ones with a good tag |
//! | M4 | 307 bytes of garbage | `transport::m4_garbage_is_refused_or_timed_out` |
//! | M5 | bad Hellos | `transport::m5_bad_hellos_get_the_right_reason` |
//! | M6 | bad MACs and sizes of frames | `transport::m6_bad_frames_end_it_without_a_word`, `transport::m6_a_huge_frame_is_refused_by_its_header` |
//! | M7 | bad compression | `transport::m7_bad_compression_ends_it` |
//! | M8 | floods of pings and pongs, odd Disconnects | `transport::m8_floods_of_pings_and_pongs_are_survived`, `transport::m8_disconnects_of_any_form_end_it` |
//! | M9 | codes of nobody | `transport::m9_codes_of_nobody_end_it_and_reserved_ones_do_not` |
//! | M10 | bad, late and second Statuses | `transport::m10_…` (3), `whisper::m10_…` (3) |
//! | M11 | broken bundles | `whisper::m11_m15_malformed_messages_end_the_connection` |
//! | M12 | unacceptable envelopes | `whisper::m12_unacceptable_envelopes_are_dropped_and_the_peer_stays`, `whisper::m12_repeated_lack_of_work_ends_the_connection` |
//! | M13 | envelopes without end | `whisper::m13_envelopes_without_end_do_not_push_out_honest_ones`; a million of them in `attack` |
//! | M14 | broken plaintexts | `whisper::m14_hostile_plaintexts_open_to_nothing`; high s in the vectors of payloads |
//! | M15 | broken requirements and filters | `whisper::m11_m15_malformed_messages_end_the_connection` |
//! | M16 | broken and unsolicited confirmations, rate limits | `mail::m16_…` (2) |
//! | M17 | completions of any form | `mail::m17_…` (2) |
//! | M18 | requests of any form, a thousand at once, syncs of strangers | `mail::m18_…` (4) |
//! | M19 | direct messages without end | `mail::m19_…` (2) |
//! | M20 | a handshake by the byte, a peer that never reads | `transport::m20_…` (2) |
//!
//! `bans`: what repeated offences lead to, and how that ends.
#![cfg(feature = "shell")]
#![allow(clippy::panic, reason = "a test says what went wrong by it")]

mod attacker;
mod bans;
mod mail;
mod transport;
mod whisper;
