//! The lookup under way, and those that wait.
//!
//! ```text
//! ask ──it has not pinged us for 24 h──▶ ping ──pong──▶ pause of 500 ms ──▶ findnode ──16 nodes, or 500 ms──▶ answered
//!   └──it has──────────────────────────────────────────────────────────────▶┘
//! ```
//!
//! The pause lets the other side ping us and see our pong: without that it would not answer. Lookups run one after the
//! other, so that a node is asked one question at a time and its answer belongs to it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use super::super::lookup::Lookup;
use super::super::packet::Message;
use super::super::{BUCKET_LEN_MAX, Contact, FAILURES_MAX, REPLY_TIMEOUT};
use super::{Node, Output, Why, expiration};
use crate::identity::{NodeId, PUBLIC_KEY_LEN};
use crate::keccak::keccak256;
use crate::now::Now;

/// Lookups and their questions.
pub(super) struct Walk {
    active: Option<Active>,
    waiting: VecDeque<Task>,
    questions: BTreeMap<NodeId, Question>,
    next_id: u64,
}

struct Active {
    task: Task,
    lookup: Lookup,
}

#[derive(Clone, Copy)]
struct Task {
    target: [u8; PUBLIC_KEY_LEN],
    /// Who asked for it; none: we did.
    id: Option<u64>,
}

struct Question {
    contact: Contact,
    stage: Stage,
    tries: u8,
}

enum Stage {
    /// A ping is under way.
    Proving,
    /// It may ping us.
    Pause { until: Instant },
    /// The answer may come in pieces.
    Asked {
        deadline: Instant,
        received: usize,
        nodes: Vec<Contact>,
    },
}

impl Walk {
    pub(super) fn new() -> Walk {
        Walk {
            active: None,
            waiting: VecDeque::new(),
            questions: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// Adds a lookup that somebody asks for.
    pub(super) fn queue(&mut self, target: [u8; PUBLIC_KEY_LEN]) -> Option<u64> {
        if self.waiting.len() >= WAITING_MAX {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Task {
            target,
            id: Some(id),
        });
        Some(id)
    }

    /// Adds a lookup of our own.
    pub(super) fn queue_own(&mut self, target: [u8; PUBLIC_KEY_LEN]) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(Task { target, id: None });
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active.is_none() && self.waiting.is_empty()
    }

    pub(super) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.questions
            .values()
            .filter_map(|question| match question.stage {
                Stage::Proving => None,
                Stage::Pause { until } => Some(until),
                Stage::Asked { deadline, .. } => Some(deadline),
            })
    }

    /// How often somebody at this address has already answered a question that is asked there.
    pub(super) fn asked_at(&mut self, ip: IpAddr) -> Option<&mut u8> {
        self.questions
            .values_mut()
            .filter(|question| {
                question.contact.ip() == ip && matches!(question.stage, Stage::Asked { .. })
            })
            .map(|question| &mut question.tries)
            .min()
    }
}

impl Node {
    /// Does whatever can be done for the lookups.
    pub(super) fn advance(&mut self, now: Now) {
        self.questions_due(now);
        loop {
            if self.walk.active.is_none() && !self.begin() {
                return;
            }
            let Some(active) = &mut self.walk.active else {
                return;
            };
            if let Some(contact) = active.lookup.ask() {
                self.ask(now, contact);
            } else if active.lookup.is_done() {
                self.finish(now);
            } else {
                return;
            }
        }
    }

    fn begin(&mut self) -> bool {
        let Some(task) = self.walk.waiting.pop_front() else {
            return false;
        };
        let target = NodeId::new(keccak256(&task.target));
        let known = self.table.closest(&target, BUCKET_LEN_MAX, false);
        let lookup = Lookup::new(self.local.id, target, known);
        self.walk.active = Some(Active { task, lookup });
        true
    }

    fn finish(&mut self, now: Now) {
        let Some(active) = self.walk.active.take() else {
            return;
        };
        let nodes: Vec<Contact> = active.lookup.closest().collect();
        for contact in &nodes {
            if self.proven.holds(now.mono, contact.ip(), contact.id()) {
                self.found(contact);
            }
        }
        if let Some(id) = active.task.id {
            let nodes = nodes.iter().map(Contact::enode).collect();
            self.outputs.push_back(Output::Looked { id, nodes });
        }
        self.hurry();
    }

    fn ask(&mut self, now: Now, contact: Contact) {
        let id = contact.id();
        let will_answer = self.answered.holds(now.mono, contact.ip(), id)
            && self.table.failures(&id) < FAILURES_MAX;
        let stage = if will_answer {
            self.find_node(now, &contact)
        } else {
            self.ping(now, contact, Why::Proof);
            Stage::Proving
        };
        // A node without a port gets no ping, and so no answer either.
        let in_vain = matches!(stage, Stage::Proving)
            && !self.pings.contains_key(&(contact.ip(), contact.id()));
        self.walk.questions.insert(
            id,
            Question {
                contact,
                stage,
                tries: 0,
            },
        );
        if in_vain {
            self.close_question(now, &id, Vec::new());
        }
    }

    fn find_node(&mut self, now: Now, contact: &Contact) -> Stage {
        if let Some(active) = &self.walk.active {
            let target = active.task.target;
            let expiration = expiration(now);
            self.send(contact.udp(), &Message::FindNode { target, expiration });
        }
        Stage::Asked {
            deadline: now.mono + REPLY_TIMEOUT,
            received: 0,
            nodes: Vec::new(),
        }
    }

    /// A pong came.
    pub(super) fn walk_proven(&mut self, now: Now, contact: &Contact) {
        if let Some(question) = self.walk.questions.get_mut(&contact.id())
            && matches!(question.stage, Stage::Proving)
            && question.contact.ip() == contact.ip()
        {
            question.stage = Stage::Pause {
                until: now.mono + REPLY_TIMEOUT,
            };
        }
    }

    /// No pong came.
    pub(super) fn walk_unproven(&mut self, now: Now, contact: &Contact) {
        let proving = |question: &Question| {
            matches!(question.stage, Stage::Proving) && question.contact.ip() == contact.ip()
        };
        if self.walk.questions.get(&contact.id()).is_some_and(proving) {
            self.table.failed(now.mono, &contact.id());
            self.close_question(now, &contact.id(), Vec::new());
        }
    }

    /// Neighbours came: so many in all, and these are believed.
    pub(super) fn walk_told(
        &mut self,
        now: Now,
        ip: IpAddr,
        id: NodeId,
        count: usize,
        believed: Vec<Contact>,
    ) -> Result<(), &'static str> {
        let question = self.walk.questions.get_mut(&id).ok_or("unsolicited")?;
        if question.contact.ip() != ip {
            return Err("unsolicited");
        }
        let Stage::Asked {
            received, nodes, ..
        } = &mut question.stage
        else {
            return Err("unsolicited");
        };
        let room = BUCKET_LEN_MAX - nodes.len();
        nodes.extend(believed.into_iter().take(room));
        *received += count.max(1);
        if *received >= BUCKET_LEN_MAX {
            let nodes = std::mem::take(nodes);
            self.close_question(now, &id, nodes);
        }
        Ok(())
    }

    fn questions_due(&mut self, now: Now) {
        let due: Vec<NodeId> = self
            .walk
            .questions
            .iter()
            .filter(|(_, question)| match question.stage {
                Stage::Proving => false,
                Stage::Pause { until } => until <= now.mono,
                Stage::Asked { deadline, .. } => deadline <= now.mono,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(question) = self.walk.questions.get_mut(&id) else {
                continue;
            };
            let contact = question.contact;
            match &mut question.stage {
                Stage::Proving => {}
                Stage::Pause { .. } => {
                    let stage = self.find_node(now, &contact);
                    if let Some(question) = self.walk.questions.get_mut(&id) {
                        question.stage = stage;
                    }
                }
                Stage::Asked {
                    received, nodes, ..
                } => {
                    let (silent, nodes) = (*received == 0, std::mem::take(nodes));
                    if silent {
                        self.table.failed(now.mono, &id);
                    }
                    self.close_question(now, &id, nodes);
                }
            }
        }
    }

    fn close_question(&mut self, now: Now, id: &NodeId, nodes: Vec<Contact>) {
        self.walk.questions.remove(id);
        for contact in &nodes {
            self.table.seen(now.mono, *contact);
        }
        if let Some(active) = &mut self.walk.active {
            active.lookup.answered(nodes);
        }
    }
}

/// Lookups that wait: those of a refresh, twice.
const WAITING_MAX: usize = 8;
