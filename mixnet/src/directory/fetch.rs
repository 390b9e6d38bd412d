//! How a light client, or a newcomer, gets the active set of an epoch.
//!
//! ```text
//! hello to three relays at random ─▶ one root? ── no ──▶ refuse, raise the alarm if the roots are settled, ask others later
//!                                       │ yes
//!                                       ▼
//! pages from one of them ─▶ every signature, the keys, the root ─▶ adopted
//! ```
//!
//! With one seed there is one answer, and it is taken; then three nodes of the set that it gave are asked at once, and if they
//! know of another root the set is dropped again. Clients fetch the set of the next epoch at a random time before that epoch
//! starts, so that nobody is without one, and not all ask at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::active::{ActiveSet, Root, SetError, Standing};
use super::limits::{ACTIVE_MAX, ANSWER_WITHIN, SERVICES_MAX, SETTLED_RELAYS_MIN, SOURCES};
use super::voices::Fork;
use super::wire::{Request, Response};
use super::{AskId, Contact, Directory};
use crate::descriptor::Descriptor;
use crate::now::Now;

/// A set that is being fetched, or compared with what others have.
pub(super) struct Fetch {
    epoch: u32,
    until: Instant,
    sources: Vec<Source>,
    /// Who else can be asked when one does not answer.
    pool: Vec<Contact>,
    pages: Option<Pages>,
}

struct Source {
    contact: Contact,
    waiting: Option<AskId>,
    root: Option<(Standing, Root)>,
}

struct Pages {
    from: Contact,
    waiting: AskId,
    root: Root,
    got: Vec<Descriptor>,
}

impl Directory {
    pub(super) fn fetch_deadline(&self) -> Instant {
        self.fetch
            .as_ref()
            .map_or(self.next_fetch, |fetch| fetch.until)
    }

    /// Gives up what takes too long, and starts what is due.
    pub(super) fn run_fetch(&mut self, now: Now) {
        if self
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.until <= now.mono)
        {
            self.fetch = None;
            self.fetch_again(now);
        }
        if self.fetch.is_some() || self.next_fetch > now.mono {
            return;
        }
        self.next_fetch = now.mono + self.quiet();
        let adopted = self.needed(now).filter(|epoch| self.adopts(*epoch));
        // The one that is missing; if none is, the newest is compared once more.
        let mut epochs: Vec<u32> = adopted.collect();
        epochs.sort_by_key(|epoch| (self.sets.contains_key(epoch), u32::MAX - epoch));
        if let Some(epoch) = epochs.first() {
            self.start_fetch(now, *epoch);
        }
    }

    fn start_fetch(&mut self, now: Now, epoch: u32) {
        let mut pool: Vec<Contact> = self.contacts().collect();
        for place in 0..pool.len().min(SOURCES * SPARE) {
            let other = place + self.below(pool.len() - place);
            pool.swap(place, other);
        }
        pool.truncate(SOURCES * SPARE);
        self.fetch = Some(Fetch {
            epoch,
            until: now.mono + ANSWER_WITHIN * 2,
            sources: Vec::new(),
            pool,
            pages: None,
        });
        self.ask_sources(now);
    }

    /// Asks as many as are missing for three answers; decides when nobody is left to wait for.
    fn ask_sources(&mut self, now: Now) {
        let Some(mut fetch) = self.fetch.take() else {
            return;
        };
        let good = |source: &&Source| source.waiting.is_some() || source.root.is_some();
        let missing = SOURCES.saturating_sub(fetch.sources.iter().filter(good).count());
        for _ in 0..missing {
            let Some(contact) = fetch.pool.pop() else {
                break;
            };
            let state = self.state(now, fetch.epoch);
            let hello = Request::Hello {
                state,
                epoch: fetch.epoch,
            };
            let waiting = Some(self.ask(contact.clone(), hello));
            fetch.sources.push(Source {
                contact,
                waiting,
                root: None,
            });
        }
        let waiting = fetch.sources.iter().any(|source| source.waiting.is_some());
        if waiting {
            self.fetch = Some(fetch);
        } else {
            self.decide(now, fetch);
        }
    }

    /// An answer came, or will not come.
    pub(super) fn fetch_answered(&mut self, now: Now, id: AskId, response: Option<Response>) {
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        if fetch.pages.as_ref().is_some_and(|p| p.waiting == id) {
            return self.page_came(now, response);
        }
        let epoch = fetch.epoch;
        let Some(source) = fetch
            .sources
            .iter_mut()
            .find(|source| source.waiting == Some(id))
        else {
            return;
        };
        source.waiting = None;
        let peer = source.contact.peer;
        if let Some(Response::State(state)) = response {
            source.root = state.root.filter(|_| state.epoch == epoch);
            self.note_voice(now, peer, &state);
        }
        self.ask_sources(now);
    }

    /// Everybody has answered who will: is it one root?
    fn decide(&mut self, now: Now, mut fetch: Fetch) {
        let mut roots: BTreeMap<Root, (usize, Standing)> = BTreeMap::new();
        for (standing, root) in fetch.sources.iter().filter_map(|source| source.root) {
            let (count, best) = roots.entry(root).or_insert((0, standing));
            *count += 1;
            *best = (*best).max(standing);
        }
        let answers: usize = roots.values().map(|(count, _)| count).sum();
        let mut distinct = roots.iter();
        let (Some((root, _)), None) = (distinct.next(), distinct.next()) else {
            if answers > 0 {
                self.disagree(fetch.epoch, &roots, answers);
            }
            return self.fetch_again(now);
        };
        let known = self.sets.get(&fetch.epoch).map(|set| *set.root());
        if known == Some(*root) {
            self.client_fork = None;
            if answers >= self.contacts().take(SOURCES).count() {
                self.compared.insert(fetch.epoch);
            }
            return self.fetch_later(now, fetch.epoch, false);
        }
        let from = fetch.sources.iter().find(|source| source.root.is_some());
        let Some(from) = from.map(|source| source.contact.clone()) else {
            return self.fetch_again(now);
        };
        if answers >= SOURCES {
            self.compared.insert(fetch.epoch);
        } else {
            self.compared.remove(&fetch.epoch);
        }
        let waiting = self.ask(
            from.clone(),
            Request::Fetch {
                epoch: fetch.epoch,
                from: 0,
            },
        );
        fetch.pages = Some(Pages {
            from,
            waiting,
            root: *root,
            got: Vec::new(),
        });
        fetch.until = now.mono + ANSWER_WITHIN * 2;
        self.fetch = Some(fetch);
    }

    /// Different roots. While the news of an epoch spreads that is no wonder; later somebody lies.
    fn disagree(&mut self, epoch: u32, roots: &BTreeMap<Root, (usize, Standing)>, answers: usize) {
        let settled = roots
            .iter()
            .filter(|(_, (_, standing))| *standing == Standing::Settled);
        let shares = settled.map(|(root, (count, _))| (*root, *count as f64 / answers as f64));
        let roots: Vec<(Root, f64)> = shares.collect();
        if roots.len() > 1 {
            tracing::warn!(
                epoch,
                "relays give different active sets of one epoch: none of them is used"
            );
            self.client_fork = Some(Fork { epoch, roots });
            if !self.compared.contains(&epoch) {
                // It came from one source, and others do not know it.
                self.sets.remove(&epoch);
            }
        }
    }

    fn page_came(&mut self, now: Now, response: Option<Response>) {
        let Some(mut fetch) = self.fetch.take() else {
            return;
        };
        let Some(mut pages) = fetch.pages.take() else {
            return;
        };
        let Some(Response::Page {
            epoch,
            young,
            total,
            from,
            descriptors,
        }) = response
        else {
            return self.fetch_again(now);
        };
        let (total, from) = (usize::from(total), usize::from(from));
        let fits = epoch == fetch.epoch
            && from == pages.got.len()
            && !descriptors.is_empty()
            && total <= ACTIVE_MAX + SERVICES_MAX
            && from + descriptors.len() <= total;
        let read: Result<Vec<Descriptor>, _> = descriptors
            .iter()
            .map(|bytes| Descriptor::from_bytes(bytes))
            .collect();
        let Some(read) = read.ok().filter(|_| fits) else {
            *self.refused.entry("page").or_default() += 1;
            return self.fetch_again(now);
        };
        pages.got.extend(read);
        if pages.got.len() < total {
            let from = pages.got.len() as u16;
            pages.waiting = self.ask(pages.from.clone(), Request::Fetch { epoch, from });
            fetch.until = now.mono + ANSWER_WITHIN * 2;
            fetch.pages = Some(pages);
            self.fetch = Some(fetch);
            return;
        }
        match adopt(epoch, pages, young) {
            Ok(set) => {
                self.client_fork = None;
                self.sets.insert(epoch, set);
                self.unsaved = true;
                self.fetch_later(now, epoch, true);
            }
            Err(error) => {
                *self.refused.entry(error.as_str()).or_default() += 1;
                self.fetch_again(now);
            }
        }
    }

    /// It did not work: again soon, less soon the longer nobody answers.
    fn fetch_again(&mut self, now: Now) {
        let pause = self.busy() * (1 << self.unanswered.min(5));
        self.next_fetch = now.mono + pause.min(self.quiet());
    }

    /// It worked: when to look again.
    fn fetch_later(&mut self, now: Now, epoch: u32, is_new: bool) {
        let Some(set) = self.sets.get(&epoch) else {
            return self.fetch_again(now);
        };
        let unsure = !self.compared.contains(&epoch) && self.contacts().nth(1).is_some();
        let missing = self
            .needed(now)
            .any(|needed| !self.sets.contains_key(&needed));
        let pause = if missing || set.relays() < SETTLED_RELAYS_MIN {
            self.busy()
        } else if is_new && unsure {
            // One source is not enough; those that it named are asked now.
            self.busy() / 8
        } else if unsure || set.is_young() {
            (self.busy() * (4 << self.looks.min(5))).min(self.quiet())
        } else {
            self.until_next_look(now)
        };
        self.looks = if is_new {
            0
        } else {
            self.looks.saturating_add(1)
        };
        self.next_fetch = now.mono + pause;
    }

    /// Once more when the set should be everybody's, then at a random time in the grace before the next epoch.
    fn until_next_look(&mut self, now: Now) -> Duration {
        let grace = self.epochs.grace().as_millis() as u64;
        let random = self.below(usize::try_from(grace).unwrap_or(usize::MAX).max(1)) as u64;
        let settled = self.epochs.start_ms(self.epoch) + grace;
        let ahead = self.epochs.start_ms(self.epoch + 1) - grace;
        let at = [settled, ahead]
            .into_iter()
            .find(|at| *at > now.unix_ms)
            .unwrap_or(self.epochs.start_ms(self.epoch + 1) + grace);
        Duration::from_millis(at + random - now.unix_ms)
    }
}

/// What came, if it is what was announced.
fn adopt(epoch: u32, pages: Pages, young: bool) -> Result<ActiveSet, SetError> {
    let set = ActiveSet::received(epoch, pages.got, young)?;
    if *set.root() != pages.root {
        return Err(SetError::Root);
    }
    Ok(set)
}

/// For each source so many others to take its place.
const SPARE: usize = 4;
