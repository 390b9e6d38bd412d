#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn peer(n: u8) -> PeerKey {
    let mut key = [n; PEER_KEY_LEN];
    key[0] = 2 + n % 2;
    PeerKey::from_bytes(key).unwrap()
}

fn direct(ip: [u8; 4], port: u16) -> Address {
    Address::direct(ip.into(), Transport::Tcp, port, peer(1))
}

#[test]
fn both_forms_over_both_transports() {
    let ip = Ipv4Addr::new(8, 8, 4, 4);
    for (transport, byte) in [(Transport::Tcp, 0), (Transport::Quic, 1)] {
        let plain = Address::direct(ip, transport, 0x1234, peer(1));
        let bytes = plain.to_bytes();
        assert_eq!(bytes[..7], [8, 8, 4, 4, byte, 0x12, 0x34]);
        assert_eq!(bytes[7..46], peer(1).to_peer_id());
        assert_eq!(bytes[46..], [0; 48]);
        assert_eq!(Address::from_bytes(&bytes), Ok(plain));
        assert_eq!((plain.peer(), plain.relay()), (Some(peer(1)), None));

        let circuit = Address::circuit(ip, transport, 0x1234, peer(1), peer(2));
        let bytes = circuit.to_bytes();
        assert_eq!(bytes[46..85], peer(2).to_peer_id());
        assert_eq!(bytes[85..], [0; 9]);
        assert_eq!(Address::from_bytes(&bytes), Ok(circuit));
        assert_eq!(
            (circuit.peer(), circuit.relay()),
            (Some(peer(2)), Some(peer(1)))
        );
    }
    assert_eq!(Address::from_bytes(&[0; ADDRESS_LEN]), Ok(Address::NONE));
    assert_eq!(Address::NONE.to_bytes(), [0; ADDRESS_LEN]);
}

#[test]
fn garbage_does_not_decode() {
    let good = Address::circuit(
        Ipv4Addr::new(8, 8, 4, 4),
        Transport::Tcp,
        1,
        peer(1),
        peer(2),
    );
    let cases: [(usize, u8, AddressError); 9] = [
        (4, 2, AddressError::Transport(2)),
        (4, 0xff, AddressError::Transport(0xff)),
        (7, 1, AddressError::PeerId),
        (8, 0x24, AddressError::PeerId),
        (10, 0x01, AddressError::PeerId),
        (13, 4, AddressError::PeerId),
        (46, 1, AddressError::PeerId),
        (52, 0, AddressError::PeerId),
        (93, 1, AddressError::Padding),
    ];
    for (at, byte, expected) in cases {
        let mut bytes = good.to_bytes();
        bytes[at] = byte;
        assert_eq!(
            Address::from_bytes(&bytes),
            Err(expected),
            "byte {at} = {byte}"
        );
    }
}

#[test]
fn only_secp256k1_ids() {
    let id = peer(1).to_peer_id();
    assert_eq!(PeerKey::from_peer_id(&id), Ok(peer(1)));
    let ed25519: Vec<u8> = [&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20][..], &[5; 32]].concat();
    for bad in [&ed25519[..], &id[..38], &[], &[&id[..], &[0]].concat()] {
        assert_eq!(PeerKey::from_peer_id(bad), Err(AddressError::PeerId));
    }
    assert_eq!(PeerKey::from_bytes([4; 33]), Err(AddressError::PeerId));
}

#[test]
fn what_may_be_dialled() {
    use AddressError::{Missing, NotGlobal, NotUnicast, PortZero};
    let strict = AddressPolicy::default();
    let lax = AddressPolicy {
        allow_private: true,
    };
    type Verdict = Result<(), AddressError>;
    let table: [([u8; 4], u16, Verdict, Verdict); 21] = [
        ([8, 8, 8, 8], 1, Ok(()), Ok(())),
        ([172, 15, 0, 1], 1, Ok(()), Ok(())),
        ([172, 32, 0, 1], 1, Ok(()), Ok(())),
        ([100, 63, 0, 1], 1, Ok(()), Ok(())),
        ([223, 255, 255, 254], 65535, Ok(()), Ok(())),
        ([8, 8, 8, 8], 0, Err(PortZero), Err(PortZero)),
        ([127, 0, 0, 1], 0, Err(PortZero), Err(PortZero)),
        ([127, 0, 0, 1], 1, Err(NotGlobal), Ok(())),
        ([127, 255, 0, 1], 1, Err(NotGlobal), Ok(())),
        ([10, 1, 2, 3], 1, Err(NotGlobal), Ok(())),
        ([172, 16, 0, 1], 1, Err(NotGlobal), Ok(())),
        ([172, 31, 255, 1], 1, Err(NotGlobal), Ok(())),
        ([192, 168, 1, 1], 1, Err(NotGlobal), Ok(())),
        ([169, 254, 169, 254], 80, Err(NotGlobal), Ok(())),
        ([100, 64, 0, 1], 1, Err(NotGlobal), Ok(())),
        ([198, 18, 0, 1], 1, Err(NotGlobal), Ok(())),
        ([203, 0, 113, 9], 1, Err(NotGlobal), Ok(())),
        ([240, 0, 0, 1], 1, Err(NotGlobal), Ok(())),
        ([0, 0, 0, 0], 1, Err(NotUnicast), Err(NotUnicast)),
        ([224, 0, 0, 1], 1, Err(NotUnicast), Err(NotUnicast)),
        ([255, 255, 255, 255], 1, Err(NotUnicast), Err(NotUnicast)),
    ];
    for (ip, port, expected, expected_lax) in table {
        let address = direct(ip, port);
        assert_eq!(strict.check(&address), expected, "{ip:?}:{port}");
        assert_eq!(lax.check(&address), expected_lax, "{ip:?}:{port}");
    }
    assert_eq!(lax.check(&Address::NONE), Err(Missing));
}

#[test]
fn what_may_be_dialled_over_ipv6() {
    use AddressError::{NotGlobal, NotUnicast, PortZero};
    let lax = AddressPolicy {
        allow_private: true,
    };
    for (place, expected, expected_lax) in [
        ("[2001:4860:4860::8888]:1", Ok(()), Ok(())),
        ("[2600::1]:65535", Ok(()), Ok(())),
        ("[2a01:4f8::1]:1", Ok(()), Ok(())),
        ("[2600::1]:0", Err(PortZero), Err(PortZero)),
        ("[::]:1", Err(NotUnicast), Err(NotUnicast)),
        ("[ff02::1]:1", Err(NotUnicast), Err(NotUnicast)),
        ("[::1]:1", Err(NotGlobal), Ok(())),
        ("[fd00::1]:1", Err(NotGlobal), Ok(())),
        ("[fe80::1]:1", Err(NotGlobal), Ok(())),
        ("[::ffff:10.0.0.1]:1", Err(NotGlobal), Ok(())),
        ("[64:ff9b::a00:1]:1", Err(NotGlobal), Ok(())),
        ("[2001::1]:1", Err(NotGlobal), Ok(())),
        ("[2001:db8::1]:1", Err(NotGlobal), Ok(())),
        ("[2002:a00:1::1]:1", Err(NotGlobal), Ok(())),
        ("[3fff::1]:1", Err(NotGlobal), Ok(())),
    ] {
        let at = place.parse().unwrap();
        let strict = AddressPolicy::default();
        assert_eq!(strict.check_socket(at), expected, "{place}");
        assert_eq!(lax.check_socket(at), expected_lax, "{place}");
    }
}

#[test]
fn the_relay_of_a_circuit_is_what_is_dialled() {
    let home = Ipv4Addr::LOCALHOST;
    let circuit = Address::circuit(home, Transport::Quic, 9, peer(1), peer(2));
    assert_eq!(
        AddressPolicy::default().check(&circuit),
        Err(AddressError::NotGlobal)
    );
}

proptest! {
    #[test]
    fn what_decodes_has_one_form(mut bytes in prop::array::uniform32(any::<u8>()), at in 0..94_usize, byte: u8) {
        bytes[4] &= 1;
        let mut address = direct([bytes[0], bytes[1], bytes[2], bytes[3]], 7).to_bytes();
        address[at] = byte;
        if let Ok(decoded) = Address::from_bytes(&address) {
            prop_assert_eq!(decoded.to_bytes(), address);
        }
    }
}
