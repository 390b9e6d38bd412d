//! Small gateways of the test on loopback; a real router is not needed for the conversation with one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

const OUTSIDE: [u8; 4] = [90, 1, 2, 3];

/// What a gateway was asked to map: protocol and port.
type Book = Arc<Mutex<BTreeSet<(&'static str, u16)>>>;

fn ports() -> Ports {
    Ports {
        udp: NonZeroU16::new(30303).unwrap(),
        tcp: NonZeroU16::new(30303).unwrap(),
    }
}

/// Runs the policy until it has mapped, then stops it; what it said, and what is mapped at either time.
async fn mapped_and_taken_back(policy: NatPolicy, place: Where, book: &Book) -> Mapped {
    let (sender, mut mapped) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(run(policy, ports(), place, sender, stopped));
    let how = mapped.recv().await.expect("a mapping");
    let both = BTreeSet::from([("tcp", 30303), ("udp", 30303)]);
    assert_eq!(*book.lock().unwrap(), both);
    stop.send(()).unwrap();
    task.await.unwrap();
    assert!(book.lock().unwrap().is_empty(), "not taken back");
    how
}

fn expected() -> Mapped {
    Mapped {
        ip: IpAddr::from(OUTSIDE),
        udp_port: 30303,
        tcp_port: 30303,
    }
}

/// A gateway that knows NAT-PMP and says so when it is asked by PCP.
async fn pmp_gateway(ip: [u8; 4]) -> Book {
    let book = Book::default();
    let socket = UdpSocket::bind((Ipv4Addr::from(ip), crab_nat::GATEWAY_PORT))
        .await
        .expect("the port of NAT-PMP is free on this loopback address");
    let noted = Arc::clone(&book);
    tokio::spawn(async move {
        let mut bytes = [0; 1100];
        while let Ok((len, from)) = socket.recv_from(&mut bytes).await {
            let answer = pmp_answer(&bytes[..len], &noted);
            let _ = socket.send_to(&answer, from).await;
        }
    });
    book
}

fn pmp_answer(request: &[u8], book: &Book) -> Vec<u8> {
    let epoch = [0, 0, 0, 9];
    match request {
        [0, 0] => [&[0, 128, 0, 0], &epoch[..], &OUTSIDE].concat(),
        [
            0,
            code @ (1 | 2),
            0,
            0,
            inside_high,
            inside_low,
            outside_high,
            outside_low,
            lifetime @ ..,
        ] => {
            let name = if *code == 1 { "udp" } else { "tcp" };
            let inside = u16::from_be_bytes([*inside_high, *inside_low]);
            let mut book = book.lock().unwrap();
            if lifetime == [0; 4] {
                book.remove(&(name, inside));
            } else {
                assert_eq!(lifetime, (20_u32 * 60).to_be_bytes());
                book.insert((name, inside));
            }
            let header = [0, 128 + code, 0, 0];
            let ports = [*inside_high, *inside_low, *outside_high, *outside_low];
            [&header[..], &epoch, &ports, lifetime].concat()
        }
        // Version 2: PCP. The answer of RFC 6886 to a version that is not known.
        [2, ..] => [&[0, 128, 0, 1], &epoch[..]].concat(),
        other => panic!("not expected: {other:?}"),
    }
}

/// A gateway that knows UPnP: where to search for it.
async fn upnp_gateway() -> (SocketAddr, Book) {
    let book = Book::default();
    let pages = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/root.xml", pages.local_addr().unwrap());
    let search = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let place = search.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 1500];
        while let Ok((len, from)) = search.recv_from(&mut bytes).await {
            assert!(bytes[..len].starts_with(b"M-SEARCH"));
            let answer = format!("HTTP/1.1 200 OK\r\nST: urn:x\r\nLOCATION: {location}\r\n\r\n");
            let _ = search.send_to(answer.as_bytes(), from).await;
        }
    });
    let noted = Arc::clone(&book);
    tokio::spawn(async move {
        while let Ok((stream, _)) = pages.accept().await {
            tokio::spawn(page(stream, Arc::clone(&noted)));
        }
    });
    (place, book)
}

/// Answers requests on one connection.
async fn page(mut stream: TcpStream, book: Book) {
    let mut request = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await {
            Ok(len) if len > 0 => request.extend_from_slice(&bytes[..len]),
            _ => return,
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() < length {
            continue;
        }
        let answer = upnp_answer(head, body, &book);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        request.clear();
    }
}

fn upnp_answer(head: &str, body: &str, book: &Book) -> String {
    let field = |name: &str| {
        let (_, rest) = body
            .split_once(&format!("<{name}>"))
            .expect("the field is there");
        rest.split_once('<').unwrap().0.to_owned()
    };
    let entry = || {
        let protocol = if field("NewProtocol") == "TCP" {
            "tcp"
        } else {
            "udp"
        };
        (protocol, field("NewExternalPort").parse().unwrap())
    };
    let done = |name: &str, inner: &str| {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
             <u:{name}Response xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\">{inner}</u:{name}Response>\
             </s:Body></s:Envelope>"
        )
    };
    if head.starts_with("GET /root.xml") {
        return "<root><device><serviceList><service>\
                <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
                <SCPDURL>/scpd.xml</SCPDURL><controlURL>/control</controlURL>\
                </service></serviceList></device></root>"
            .to_owned();
    }
    if head.starts_with("GET /scpd.xml") {
        let action = |name: &str, arguments: &[&str]| {
            let arguments: String = arguments
                .iter()
                .map(|name| {
                    format!("<argument><name>{name}</name><direction>in</direction></argument>")
                })
                .collect();
            format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
        };
        let add = action(
            "AddPortMapping",
            &[
                "NewRemoteHost",
                "NewExternalPort",
                "NewProtocol",
                "NewInternalPort",
                "NewInternalClient",
                "NewEnabled",
                "NewPortMappingDescription",
                "NewLeaseDuration",
            ],
        );
        let delete = action(
            "DeletePortMapping",
            &["NewRemoteHost", "NewExternalPort", "NewProtocol"],
        );
        return format!("<scpd><actionList>{add}{delete}</actionList></scpd>");
    }
    assert!(head.starts_with("POST /control"), "{head}");
    if body.contains("GetExternalIPAddress") {
        let ip = Ipv4Addr::from(OUTSIDE);
        return done(
            "GetExternalIPAddress",
            &format!("<NewExternalIPAddress>{ip}</NewExternalIPAddress>"),
        );
    }
    if body.contains("DeletePortMapping") {
        book.lock().unwrap().remove(&entry());
        return done("DeletePortMapping", "");
    }
    assert_eq!(field("NewLeaseDuration"), "1200");
    assert_eq!(field("NewInternalClient"), "127.0.0.1");
    book.lock().unwrap().insert(entry());
    done("AddPortMapping", "")
}

#[tokio::test]
async fn a_gateway_with_nat_pmp_lets_us_in() {
    let book = pmp_gateway([127, 77, 0, 1]).await;
    let place = Where {
        pmp: Some([127, 77, 0, 1].into()),
        ..Where::default()
    };
    assert_eq!(
        mapped_and_taken_back(NatPolicy::Pmp, place, &book).await,
        expected()
    );
}

#[tokio::test]
async fn a_gateway_with_upnp_lets_us_in() {
    let (upnp, book) = upnp_gateway().await;
    let place = Where { upnp, pmp: None };
    assert_eq!(
        mapped_and_taken_back(NatPolicy::Upnp, place, &book).await,
        expected()
    );
}

#[tokio::test]
async fn any_gateway_will_do() {
    let (upnp, book) = upnp_gateway().await;
    // Nobody answers by NAT-PMP at this address.
    let pmp = Some([127, 77, 0, 3].into());
    let place = Where { upnp, pmp };
    assert_eq!(
        mapped_and_taken_back(NatPolicy::Any, place, &book).await,
        expected()
    );
}

#[tokio::test]
async fn mappings_are_renewed() {
    let book = pmp_gateway([127, 77, 0, 4]).await;
    let (opened, how) = pmp(ports(), Some([127, 77, 0, 4].into())).await.unwrap();
    book.lock().unwrap().clear();
    let (opened, again) = renew(opened).await.unwrap();
    assert_eq!((how, again), (expected(), expected()));
    assert_eq!(book.lock().unwrap().len(), 2);
    close(opened).await;
    let (upnp_place, book) = upnp_gateway().await;
    let (opened, how) = upnp(ports(), upnp_place).await.unwrap();
    book.lock().unwrap().clear();
    let (_, again) = renew(opened).await.unwrap();
    assert_eq!((how, again), (expected(), expected()));
    assert_eq!(book.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn no_gateway_is_no_reason_to_stop() {
    let place = Where {
        upnp: SocketAddr::from(([127, 0, 0, 1], 9)),
        pmp: Some([127, 77, 0, 5].into()),
    };
    assert!(open(NatPolicy::Pmp, ports(), place).await.is_err());
    let (sender, _mapped) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(run(NatPolicy::Any, ports(), place, sender, stopped));
    stop.send(()).unwrap();
    task.await.unwrap();
}

#[test]
fn policies_are_words() {
    for text in [
        "none",
        "upnp",
        "pmp",
        "any",
        "extip:90.1.2.3",
        "extip:2a00::1",
    ] {
        assert_eq!(text.parse::<NatPolicy>().unwrap().to_string(), text);
    }
    for (text, error) in [
        ("", NatPolicyError::Word),
        ("natpmp", NatPolicyError::Word),
        ("UPNP", NatPolicyError::Word),
        ("extip:", NatPolicyError::Address),
        ("extip:here", NatPolicyError::Address),
        ("extip:0.0.0.0", NatPolicyError::Address),
    ] {
        assert_eq!(text.parse::<NatPolicy>(), Err(error), "{text}");
    }
}

#[test]
fn the_gateway_is_read_from_the_routes() {
    let line = |gateway: [u8; 4]| {
        let number = u32::from_ne_bytes(gateway);
        format!(
            "Iface\tDestination\tGateway\tFlags\nlo\t0000007F\t00000000\t0001\neth0\t00000000\t{number:08X}\t0003\t0\n"
        )
    };
    assert_eq!(
        gateway_in(&line([192, 168, 7, 1])),
        Some([192, 168, 7, 1].into())
    );
    assert_eq!(gateway_in(&line([0; 4])), None);
    for broken in ["", "Iface", "Iface\neth0", "Iface\neth0 00000000 zz 1"] {
        assert_eq!(gateway_in(broken), None);
    }
}
