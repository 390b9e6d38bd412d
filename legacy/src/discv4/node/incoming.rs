//! What others send.
//!
//! The order of the checks: length, hash, type and form; whether it is still good; for an answer, whether somebody asked;
//! for anything else, whether its sender has sent enough. Only then is its signature looked at.

use std::net::SocketAddr;

use super::super::endpoint::{Endpoint, Neighbour, check_relayed, is_lan};
use super::super::gate::Turned;
use super::super::packet::{Hash, Message, Unverified};
use super::super::proof::{FIRST_ID, LAST_ID};
use super::super::{BUCKET_LEN_MAX, Contact, NEIGHBOURS_PER_PACKET_MAX};
use super::{Node, Output, Request, Why, expiration};
use crate::enr::Record;
use crate::identity::{NodeId, PublicKey};
use crate::keccak::keccak256;
use crate::now::Now;

/// Why a datagram is dropped, from a closed list.
type Dropped = &'static str;

impl Node {
    pub(super) fn datagram(
        &mut self,
        now: Now,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), Dropped> {
        let unverified = Unverified::read(bytes).map_err(|error| error.as_str())?;
        let expiration = unverified.message.expiration();
        if expiration.is_some_and(|expiration| expiration < now.unix_s()) {
            return Err("expired");
        }
        if from.port() == 0 {
            return Err("no_port");
        }
        self.is_welcome(now, from, &unverified.message)?;
        let packet = unverified.verify().map_err(|error| error.as_str())?;
        let (sender, id) = (packet.sender, packet.sender.node_id());
        if id == self.local.id {
            return Err("ourselves");
        }
        match packet.message {
            Message::Ping {
                from: said,
                to,
                record_seq: _,
                ..
            } => {
                self.pinged(now, from, sender, packet.hash, said, to);
                Ok(())
            }
            Message::Pong {
                to,
                ping,
                record_seq,
                ..
            } => self.ponged(now, from, id, ping, to, record_seq),
            Message::FindNode { target, .. } => {
                self.asked_for_nodes(now, from, id, &NodeId::new(keccak256(&target)))
            }
            Message::Neighbours { nodes, .. } => self.told_neighbours(now, from, id, &nodes),
            Message::EnrRequest { .. } => self.asked_for_record(now, from, id, packet.hash),
            Message::EnrResponse { request, record } => {
                self.told_record(from, id, request, &record)
            }
        }
    }

    /// Whether a message is worth the price of its signature.
    fn is_welcome(&mut self, now: Now, from: SocketAddr, message: &Message) -> Result<(), Dropped> {
        let ip = from.ip();
        let tries = match message {
            Message::Ping { .. } | Message::FindNode { .. } | Message::EnrRequest { .. } => {
                let known = self.proven.holds_at(now.mono, ip);
                return self
                    .gate
                    .admit(now.mono, ip, known)
                    .map_err(|turned| match turned {
                        Turned::Address => "rate_of_address",
                        Turned::All => "rate_of_all",
                    });
            }
            Message::Pong { ping, .. } => self
                .pings
                .range_mut((ip, FIRST_ID)..=(ip, LAST_ID))
                .find(|(_, pending)| pending.hash == *ping)
                .map(|(_, pending)| &mut pending.tries),
            Message::Neighbours { .. } => self.walk.asked_at(ip),
            Message::EnrResponse { request, .. } => self
                .requests
                .range_mut((ip, FIRST_ID)..=(ip, LAST_ID))
                .find(|(_, pending)| pending.hash == *request)
                .map(|(_, pending)| &mut pending.tries),
        };
        let tries = tries.ok_or("unsolicited")?;
        if *tries >= TRIES_MAX {
            return Err("unsolicited");
        }
        *tries += 1;
        Ok(())
    }

    fn pinged(
        &mut self,
        now: Now,
        from: SocketAddr,
        sender: PublicKey,
        hash: Hash,
        said: Endpoint,
        to: Endpoint,
    ) {
        let contact = Contact::new(sender, from, said.tcp);
        let pong = Message::Pong {
            to: Endpoint::new(from, said.tcp),
            ping: hash,
            expiration: expiration(now),
            record_seq: Some(self.local.record.seq()),
        };
        self.send(from, &pong);
        self.answered.note(now.mono, contact.ip(), contact.id());
        if self.proven.holds(now.mono, contact.ip(), contact.id()) {
            self.table.answered(now.mono, contact);
            self.stated(now, from, to);
            return;
        }
        let few = is_lan(from.ip()) || self.pings_to(from.ip()) < PING_BACKS_PER_ADDRESS_MAX;
        if few && self.pings.len() < PING_BACKS_MAX {
            self.ping(now, contact, Why::Proof);
        }
    }

    fn ponged(
        &mut self,
        now: Now,
        from: SocketAddr,
        id: NodeId,
        hash: Hash,
        to: Endpoint,
        record_seq: Option<u64>,
    ) -> Result<(), Dropped> {
        let at = (from.ip(), id);
        if self.pings.get(&at).is_none_or(|ping| ping.hash != hash) {
            return Err("unsolicited");
        }
        let Some(ping) = self.pings.remove(&at) else {
            return Err("unsolicited");
        };
        let contact = ping.contact;
        let is_new = !self.proven.holds(now.mono, contact.ip(), id);
        self.proven.note(now.mono, contact.ip(), id);
        self.table.answered(now.mono, contact);
        self.stated(now, from, to);
        if is_new {
            self.found(&contact);
        }
        self.walk_proven(now, &contact);
        if record_seq > self.table.record_seq(&id) {
            self.request_record(now, &contact);
        }
        Ok(())
    }

    fn asked_for_nodes(
        &mut self,
        now: Now,
        from: SocketAddr,
        id: NodeId,
        target: &NodeId,
    ) -> Result<(), Dropped> {
        if !self.proven.holds(now.mono, from.ip(), id) {
            return Err("unproven");
        }
        let nodes: Vec<Neighbour> = self
            .table
            .closest(target, BUCKET_LEN_MAX, true)
            .iter()
            .filter(|contact| check_relayed(from.ip(), contact.ip()).is_ok())
            .map(Neighbour::new)
            .collect();
        let expiration = expiration(now);
        let mut rest = &nodes[..];
        loop {
            let (some, more) = rest.split_at(rest.len().min(NEIGHBOURS_PER_PACKET_MAX));
            let nodes = some.to_vec();
            self.send(from, &Message::Neighbours { nodes, expiration });
            rest = more;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn told_neighbours(
        &mut self,
        now: Now,
        from: SocketAddr,
        id: NodeId,
        nodes: &[Neighbour],
    ) -> Result<(), Dropped> {
        let mut believed = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node.believed(from.ip()) {
                Ok(contact) => believed.push(contact),
                Err(why) => {
                    *self.counters.disbelieved.entry(why.as_str()).or_default() += 1;
                }
            }
        }
        self.walk_told(now, from.ip(), id, nodes.len(), believed)
    }

    fn asked_for_record(
        &mut self,
        now: Now,
        from: SocketAddr,
        id: NodeId,
        request: Hash,
    ) -> Result<(), Dropped> {
        if !self.proven.holds(now.mono, from.ip(), id) {
            return Err("unproven");
        }
        let record = self.local.record.raw().to_vec();
        self.send(from, &Message::EnrResponse { request, record });
        Ok(())
    }

    fn told_record(
        &mut self,
        from: SocketAddr,
        id: NodeId,
        hash: Hash,
        record: &[u8],
    ) -> Result<(), Dropped> {
        let at = (from.ip(), id);
        if self
            .requests
            .get(&at)
            .is_none_or(|request| request.hash != hash)
        {
            return Err("unsolicited");
        }
        self.requests.remove(&at);
        let record = Record::decode(record).map_err(|_| "record")?;
        if record.node_id() != id {
            return Err("record_of_another");
        }
        if Some(record.seq()) < self.table.record_seq(&id) {
            return Err("record_is_old");
        }
        // Only where the record speaks of the address that is proven does its port mean anything.
        let enode = record.enode().filter(|enode| enode.tcp().ip() == from.ip());
        let port = enode.map(|enode| enode.tcp().port());
        self.table.recorded(&id, record.seq(), port);
        Ok(())
    }

    fn request_record(&mut self, now: Now, contact: &Contact) {
        let at = (contact.ip(), contact.id());
        // Without a ping of its own that we answered it would not answer us.
        let in_vain = !self.answered.holds(now.mono, contact.ip(), contact.id());
        if in_vain || self.requests.contains_key(&at) || self.requests.len() >= REQUESTS_MAX {
            return;
        }
        let expiration = expiration(now);
        let hash = self.send(contact.udp(), &Message::EnrRequest { expiration });
        let deadline = self.deadline(now);
        self.requests.insert(
            at,
            Request {
                hash,
                deadline,
                tries: 0,
            },
        );
    }

    /// Hands on a node that is proven to be there.
    pub(super) fn found(&mut self, contact: &Contact) {
        if contact.tcp_port() != 0 {
            self.outputs.push_back(Output::Found(contact.enode()));
        }
    }

    fn stated(&mut self, now: Now, from: SocketAddr, to: Endpoint) {
        if let Some(endpoint) = to.udp_address() {
            self.predictor.state(now.mono, from.ip(), endpoint);
        }
    }
}

/// Signatures that are looked at for one question: the two packets of an answer, and some that somebody else makes up.
const TRIES_MAX: u8 = 8;
/// Pings under way to prove strangers: the second rate of the gate for as long as a pong may take.
const PING_BACKS_MAX: usize = 1024;
/// The same to one public address: a few nodes behind one router.
const PING_BACKS_PER_ADDRESS_MAX: usize = 8;
/// Requests for records under way: one per question of a lookup, and some.
const REQUESTS_MAX: usize = 16;
