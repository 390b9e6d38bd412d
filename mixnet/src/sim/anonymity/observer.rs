//! What somebody knows who sees every packet: how many rest in each node, and how likely each of them is a marked one.
//!
//! ```text
//! a packet comes in    the node holds one more, and the probabilities that were written on it
//! a packet leaves      which of the n that rest here? All alike, since delays are exponential: it takes 1/n of everything with it
//! ```
//!
//! That is exact: the test at the end compares it with all the ways in which packets can have left. It does not matter where the
//! events come from; [`super::network`] feeds it from queues of its own, and a test from the nodes that run in a real network.

/// The observer of some nodes and some marked packets.
pub struct Observer {
    nodes: Vec<Watched>,
    marks: usize,
}

#[derive(Clone)]
struct Watched {
    resting: usize,
    masses: Vec<f64>,
}

impl Observer {
    /// An observer of so many empty nodes, who looks for so many kinds of marked packets.
    pub fn new(nodes: usize, marks: usize) -> Self {
        let empty = Watched {
            resting: 0,
            masses: vec![0.0; marks],
        };
        Self {
            nodes: vec![empty; nodes],
            marks,
        }
    }

    /// What is written on a packet that is known to bear this mark, or none.
    pub fn certain(&self, mark: Option<usize>) -> Vec<f64> {
        let of = |at| f64::from(u8::from(mark == Some(at)));
        (0..self.marks).map(of).collect()
    }

    /// A packet with these probabilities comes to a node.
    pub fn arrives(&mut self, node: usize, masses: &[f64]) {
        if let Some(watched) = self.nodes.get_mut(node) {
            watched.resting += 1;
            let mine = watched.masses.iter_mut();
            mine.zip(masses).for_each(|(mass, more)| *mass += more);
        }
    }

    /// A packet leaves a node: the probabilities that it takes with it. Nothing leaves a node that is empty.
    pub fn leaves(&mut self, node: usize) -> Vec<f64> {
        let Some(watched) = self.nodes.get_mut(node).filter(|node| node.resting > 0) else {
            return vec![0.0; self.marks];
        };
        let among = watched.resting as f64;
        watched.resting -= 1;
        let last = watched.resting == 0;
        let share = |mass: &mut f64| {
            let share = *mass / among;
            // What is left of a sum of rounded numbers must not stay in an empty node.
            *mass = if last { 0.0 } else { *mass - share };
            share
        };
        watched.masses.iter_mut().map(share).collect()
    }

    /// Packets that rest in a node.
    pub fn resting(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |watched| watched.resting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens at one node: a packet comes, marked or not, or one leaves.
    #[derive(Clone, Copy)]
    enum Step {
        Comes(Option<usize>),
        Leaves,
    }

    /// For every departure the probability of each mark, from all the ways in which the packets can have left.
    fn enumerate(
        steps: &[Step],
        resting: &mut Vec<Option<usize>>,
        weight: f64,
        at: usize,
        found: &mut Vec<[f64; 2]>,
    ) {
        let Some((step, rest)) = steps.split_first() else {
            return;
        };
        match step {
            Step::Comes(mark) => {
                resting.push(*mark);
                enumerate(rest, resting, weight, at, found);
                resting.pop();
            }
            Step::Leaves => {
                let each = weight / resting.len() as f64;
                for which in 0..resting.len() {
                    let left = resting.remove(which);
                    if let Some(mark) = left {
                        found[at][mark] += each;
                    }
                    enumerate(rest, resting, each, at + 1, found);
                    resting.insert(which, left);
                }
            }
        }
    }

    #[test]
    fn the_shares_are_those_of_all_the_ways_in_which_packets_can_have_left() {
        use Step::{Comes, Leaves};
        let steps = [
            Comes(Some(0)),
            Comes(None),
            Leaves,
            Comes(Some(1)),
            Comes(None),
            Leaves,
            Comes(Some(0)),
            Leaves,
            Leaves,
            Comes(Some(1)),
            Leaves,
            Leaves,
        ];
        let departures = steps.iter().filter(|step| matches!(step, Leaves)).count();
        let mut exact = vec![[0.0; 2]; departures];
        enumerate(&steps, &mut Vec::new(), 1.0, 0, &mut exact);
        let mut observer = Observer::new(1, 2);
        let mut found = Vec::new();
        for step in steps {
            match step {
                Comes(mark) => observer.arrives(0, &observer.certain(mark)),
                Leaves => found.push(observer.leaves(0)),
            }
        }
        for (exact, found) in exact.iter().zip(&found) {
            for mark in 0..2 {
                assert!(
                    (exact[mark] - found[mark]).abs() < 1e-12,
                    "{exact:?} {found:?}"
                );
            }
        }
        // Everything that came has left.
        assert_eq!(observer.resting(0), 0);
        let of_mark = |mark: usize| found.iter().map(|shares| shares[mark]).sum::<f64>();
        assert!((of_mark(0) - 2.0).abs() < 1e-12 && (of_mark(1) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_leaves_an_empty_node() {
        let mut observer = Observer::new(2, 1);
        observer.arrives(0, &[1.0]);
        assert_eq!(observer.leaves(1), [0.0]);
        assert_eq!(observer.leaves(0), [1.0]);
        assert_eq!(observer.leaves(0), [0.0]);
    }
}
