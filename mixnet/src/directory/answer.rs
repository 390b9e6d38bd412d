//! What others are answered. A stranger is answered as well: whoever joins is one. What it costs us is bounded by its rate.

use super::limits::ANSWERS_MAX;
use super::wire::{ANSWER_MAX, MENTIONS_MAX, PAGE_MAX, Refused, Request, Response};
use super::{AskId, Directory, Mode, Output};
use crate::address::PeerKey;
use crate::now::Now;

impl Directory {
    pub(super) fn answer(&mut self, now: Now, from: PeerKey, id: AskId, request: Request) {
        let response =
            if !self.requests.admit(now.mono, from, 1) || self.outputs.len() > ANSWERS_MAX {
                self.throttled += 1;
                Response::Refused(Refused::Busy)
            } else {
                self.response_to(now, from, request)
            };
        self.outputs.push_back(Output::Answer { id, response });
    }

    fn response_to(&mut self, now: Now, from: PeerKey, request: Request) -> Response {
        match request {
            Request::Hello { state, epoch } => {
                self.note_voice(now, from, &state);
                Response::State(self.state(now, epoch))
            }
            Request::Summary { .. } | Request::Swap { .. } | Request::Fetch { .. }
                if self.mode == Mode::Light =>
            {
                Response::Refused(Refused::NotServed)
            }
            Request::Summary { from, buckets } => {
                let (buckets, mentions) =
                    self.registry
                        .differing(&buckets, usize::from(from), MENTIONS_MAX);
                Response::Entries { buckets, mentions }
            }
            Request::Swap { wants, gives } => {
                if !self.gifts.admit(now.mono, from, gives.len() as u32) {
                    self.throttled += 1;
                    return Response::Refused(Refused::Busy);
                }
                let about = self.registry.about(&wants).take(ANSWER_MAX);
                let given = about.map(|descriptor| descriptor.to_bytes()).collect();
                self.take(now, &gives);
                Response::Descriptors(given)
            }
            Request::Fetch { epoch, from } => self.page(epoch, from),
        }
    }

    fn page(&self, epoch: u32, from: u16) -> Response {
        let Some(set) = self.sets.get(&epoch).filter(|set| !set.is_empty()) else {
            return Response::Refused(Refused::NoSet);
        };
        let page = set.descriptors().skip(usize::from(from)).take(PAGE_MAX);
        Response::Page {
            epoch,
            young: set.is_young(),
            total: u16::try_from(set.len()).unwrap_or(u16::MAX),
            from,
            descriptors: page.map(|descriptor| descriptor.to_bytes()).collect(),
        }
    }
}
