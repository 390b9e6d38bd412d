use super::*;
use crate::identity::SecretKey;
use crate::limits::{REDIAL_MAX, REDIAL_MIN};

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

fn enode(number: u8, address: &str) -> Enode {
    Enode::new(key(number).public(), address.parse().unwrap())
}

fn start() -> Now {
    Now {
        mono: Instant::now(),
        unix_ms: 0,
    }
}

fn after(now: Now, pause: Duration) -> Now {
    Now {
        mono: now.mono + pause,
        unix_ms: now.unix_ms,
    }
}

fn peers() -> Peers {
    Peers::new(key(1).public().node_id(), Limits::default(), [0; 32])
}

/// The next dial; nothing else is expected.
fn dial(peers: &mut Peers) -> Option<ConnectionId> {
    match peers.poll_output()? {
        Output::Dial { connection, .. } => Some(connection),
        other => panic!("{other:?}"),
    }
}

/// Comes in by a connection, up to the end of the Hellos.
fn enter(
    peers: &mut Peers,
    now: Now,
    connection: ConnectionId,
    number: u8,
) -> Result<(), DisconnectReason> {
    peers.identify(now, connection, key(number).public().node_id())?;
    peers.establish(now, connection)
}

const LOOPBACK: &str = "127.0.0.1:30303";
const PUBLIC: &str = "203.0.113.9:30303";

#[test]
fn a_static_peer_is_dialled_again_after_growing_pauses() {
    let (mut peers, mut now) = (peers(), start());
    peers.add(now, enode(2, LOOPBACK)).unwrap();
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let connection = dial(&mut peers).unwrap();
        assert_eq!(peers.next_deadline(), None, "a dial is under way");
        peers.close(now, connection, End::Other);
        let pause = peers.next_deadline().unwrap() - now.mono;
        let least = Duration::from_secs(seconds);
        assert!(pause >= least && pause <= least.mul_f64(1.25), "{pause:?}");
        now = after(now, pause);
        peers.tick(now);
    }
}

#[test]
fn a_good_connection_starts_the_pauses_again() {
    let (mut peers, mut now) = (peers(), start());
    peers.add(now, enode(2, LOOPBACK)).unwrap();
    for _ in 0..5 {
        let connection = dial(&mut peers).unwrap();
        peers.close(now, connection, End::Other);
        now = after(now, REDIAL_MAX * 2);
        peers.tick(now);
    }
    let connection = dial(&mut peers).unwrap();
    enter(&mut peers, now, connection, 2).unwrap();
    now = after(now, STABLE_AFTER);
    peers.close(now, connection, End::Other);
    assert!(peers.next_deadline().unwrap() - now.mono <= REDIAL_MIN.mul_f64(1.25));
}

#[test]
fn full_peers_and_public_addresses_get_a_longer_pause() {
    for (address, end) in [(LOOPBACK, End::Full), (PUBLIC, End::Other)] {
        let (mut peers, now) = (peers(), start());
        peers.add(now, enode(2, address)).unwrap();
        let connection = dial(&mut peers).unwrap();
        peers.close(now, connection, end);
        assert!(peers.next_deadline().unwrap() - now.mono >= REDIAL_THROTTLED);
    }
}

#[test]
fn a_static_peer_that_connected_itself_is_not_dialled() {
    let (mut peers, now) = (peers(), start());
    let connection = peers.accept(now, "127.0.0.1".parse().unwrap()).unwrap();
    enter(&mut peers, now, connection, 2).unwrap();
    peers.add(now, enode(2, LOOPBACK)).unwrap();
    assert_eq!(dial(&mut peers), None);
    peers.close(now, connection, End::Other);
    assert!(peers.next_deadline().is_some());
}

#[test]
fn one_connection_per_identity_and_none_to_ourselves() {
    let (mut peers, now) = (peers(), start());
    let ip = "127.0.0.1".parse().unwrap();
    let [first, second, third] = [(); 3].map(|()| peers.accept(now, ip).unwrap());
    let again = Err(DisconnectReason::AlreadyConnected);
    assert_eq!(enter(&mut peers, now, first, 2), Ok(()));
    assert_eq!(enter(&mut peers, now, second, 2), again);
    assert_eq!(
        enter(&mut peers, now, third, 1),
        Err(DisconnectReason::SelfConnection)
    );
    peers.close(now, second, End::Other);
    assert_eq!(
        enter(&mut peers, now, third, 2),
        again,
        "the first still stands"
    );
    peers.close(now, first, End::Other);
    assert_eq!(enter(&mut peers, now, third, 2), Ok(()));
    assert_eq!(peers.add(now, enode(1, LOOPBACK)), Err(AddError::Ourselves));
    assert_eq!(
        peers.add(now, enode(3, "127.0.0.1:0")),
        Err(AddError::NoAddress)
    );
}

#[test]
fn strangers_find_no_room_where_static_peers_do() {
    let now = start();
    let limits = Limits {
        inbound_max: 1,
        ..Limits::default()
    };
    let mut peers = Peers::new(key(1).public().node_id(), limits, [0; 32]);
    let ip = "127.0.0.1".parse().unwrap();
    peers.add(now, enode(4, LOOPBACK)).unwrap();
    let [first, second, third] = [(); 3].map(|()| peers.accept(now, ip).unwrap());
    assert_eq!(enter(&mut peers, now, first, 2), Ok(()));
    assert_eq!(
        enter(&mut peers, now, second, 3),
        Err(DisconnectReason::TooManyPeers)
    );
    assert_eq!(enter(&mut peers, now, third, 4), Ok(()));
}

#[test]
fn pending_handshakes_are_bounded_by_number_and_address() {
    let (mut policy, now) = (peers(), start());
    let loopback = "127.0.0.1".parse().unwrap();
    for _ in 0..PENDING_MAX {
        policy.accept(now, loopback).unwrap();
        assert_eq!(policy.poll_output(), None);
    }
    policy.accept(now, loopback).unwrap();
    assert!(matches!(policy.poll_output(), Some(Output::Close { .. })));
    let mut policy = peers();
    let public = "203.0.113.9".parse().unwrap();
    let first = policy.accept(now, public).unwrap();
    assert_eq!(policy.accept(now, public), Err(Refused::TooSoon));
    policy.accept(after(now, INBOUND_INTERVAL), public).unwrap();
    assert_eq!(
        policy.accept(after(now, INBOUND_INTERVAL * 2), public),
        Err(Refused::PendingFromAddress)
    );
    policy.close(now, first, End::Other);
    assert!(
        policy
            .accept(after(now, INBOUND_INTERVAL * 2), public)
            .is_ok()
    );
}

#[test]
fn one_subnet_is_not_a_crowd() {
    let (mut peers, now) = (peers(), start());
    for number in 0..=10u8 {
        let connection = peers
            .accept(now, IpAddr::from([203, 0, 113, number]))
            .unwrap();
        let verdict = enter(&mut peers, now, connection, number + 2);
        assert_eq!(verdict.is_ok(), number < 10);
    }
    let elsewhere = peers.accept(now, IpAddr::from([198, 51, 100, 1])).unwrap();
    assert_eq!(enter(&mut peers, now, elsewhere, 100), Ok(()));
}

fn at_the_door(pending_max: usize) -> Peers {
    let limits = Limits {
        pending_max,
        ..Limits::default()
    };
    Peers::new(key(1).public().node_id(), limits, [0; 32])
}

fn pushed_out(peers: &mut Peers) -> Vec<ConnectionId> {
    std::iter::from_fn(|| peers.poll_output())
        .filter_map(|output| match output {
            Output::Close { connection } => Some(connection),
            Output::Dial { .. } | Output::Disconnect { .. } => None,
        })
        .collect()
}

#[test]
fn the_silent_push_each_other_out_the_oldest_first() {
    let (mut peers, now) = (at_the_door(3), start());
    let ip = "127.0.0.1".parse().unwrap();
    let silent: Vec<_> = (0..5).map(|_| peers.accept(now, ip).unwrap()).collect();
    assert_eq!(pushed_out(&mut peers), silent[..2]);
}

#[test]
fn the_address_with_the_most_of_them_loses() {
    let (mut peers, now) = (at_the_door(4), start());
    let ip = |number| IpAddr::from([127, 0, 0, number]);
    let honest = peers.accept(now, ip(9)).unwrap();
    let flood: Vec<_> = (0..20).map(|_| peers.accept(now, ip(1)).unwrap()).collect();
    let out = pushed_out(&mut peers);
    assert_eq!(out, flood[..17]);
    assert!(!out.contains(&honest));
}

#[test]
fn neighbours_on_the_public_internet_count_as_one_address() {
    let (mut peers, now) = (at_the_door(4), start());
    let honest = peers.accept(now, IpAddr::from([198, 51, 100, 1])).unwrap();
    for number in 0..20 {
        peers
            .accept(now, IpAddr::from([203, 0, 113, number]))
            .unwrap();
    }
    let out = pushed_out(&mut peers);
    assert_eq!(out.len(), 17);
    assert!(!out.contains(&honest));
}

#[test]
fn whoever_proved_its_key_stays_while_the_silent_are_more() {
    let (mut peers, now) = (at_the_door(6), start());
    let ip = "127.0.0.1".parse().unwrap();
    let honest = peers.accept(now, ip).unwrap();
    peers
        .identify(now, honest, key(2).public().node_id())
        .unwrap();
    for _ in 0..100 {
        peers.accept(now, ip).unwrap();
    }
    assert!(!pushed_out(&mut peers).contains(&honest));
    peers.establish(now, honest).unwrap();
    assert_eq!(peers.established(Direction::Accepted), 1);
}

#[test]
fn those_that_stop_after_the_handshake_leave_room_for_the_silent() {
    let (mut peers, now) = (at_the_door(6), start());
    let ip = "127.0.0.1".parse().unwrap();
    let mut stopped = Vec::new();
    for number in 2..40 {
        let connection = peers.accept(now, ip).unwrap();
        peers
            .identify(now, connection, key(number).public().node_id())
            .unwrap();
        stopped.push(connection);
    }
    let newcomer = peers.accept(now, ip).unwrap();
    let out = pushed_out(&mut peers);
    assert!(!out.contains(&newcomer));
    assert_eq!(out, stopped[..out.len()], "the oldest of the larger kind");
    // Whoever was pushed out may come back at once.
    let again = peers.accept(now, ip).unwrap();
    assert_eq!(enter(&mut peers, now, again, 2), Ok(()));
}

#[test]
fn what_is_established_or_dialled_is_never_pushed_out() {
    let (mut peers, now) = (at_the_door(2), start());
    let ip = "127.0.0.1".parse().unwrap();
    peers.add(now, enode(3, LOOPBACK)).unwrap();
    let dialled = dial(&mut peers).unwrap();
    let friend = peers.accept(now, ip).unwrap();
    enter(&mut peers, now, friend, 2).unwrap();
    for _ in 0..50 {
        peers.accept(now, ip).unwrap();
    }
    let out = pushed_out(&mut peers);
    assert_eq!(out.len(), 48);
    assert!(!out.contains(&friend) && !out.contains(&dialled));
}
