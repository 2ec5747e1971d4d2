//! What is to happen in one life of a kubelet, decided before it begins.

use std::time::Duration;

use node_sim::{Fault, Reregistration, Restart};

use crate::{
    random::Random,
    truth::{Devices, RESOURCES},
};

/// The longest of the delays that cost a life their whole length.
const DELAY: Duration = Duration::from_millis(20);

/// One life.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What the plugin does while no kubelet is there.
    pub(crate) before: Vec<Edit>,
    pub(crate) arrival: Arrival,
    pub(crate) kubelet: Behaviour,
    /// What happens once the truth is told, one after the other.
    pub(crate) steps: Vec<Step>,
}

/// How a kubelet takes the place of the one before. That one dies first, in any case.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It just starts.
    Plain,
    /// One more kubelet lives in between, until the plugin has come so far.
    Twice(Behaviour, Until),
    /// The directory of the sockets is deleted, with all that is in it.
    DirectoryGone,
    /// There is room for kubelet.sock in the file system, and for nothing else.
    DiskFull,
    /// Something that is no socket is on the path of a resource's socket.
    InTheWay(usize, Obstacle),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Obstacle {
    Directory,
    File,
    /// A link that leads to itself.
    Link,
}

/// How far a plugin may come with a kubelet that dies soon.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Started,
    Register,
    Options,
    Registered,
    StreamOpened,
    List,
    /// The kubelet has answered Register, and does not dial.
    NotDialled,
}

/// How a kubelet behaves.
#[derive(Debug)]
pub(crate) struct Behaviour {
    pub(crate) sockets: Restart,
    pub(crate) late: Duration,
    pub(crate) reregistration: Reregistration,
    /// Each strikes once.
    pub(crate) faults: Vec<Fault>,
}

/// Something that happens during a life. The truth must be told after it.
#[derive(Debug)]
pub(crate) enum Step {
    Edit(Edit),
    /// The socket of a resource is deleted.
    LoseSocket {
        resource: usize,
        /// The kubelet sees the end of the old stream late.
        late_end: bool,
    },
    /// The kubelet hangs up on a resource.
    HangUp(usize),
}

/// A change of what the plugin has to offer.
#[derive(Debug)]
pub(crate) enum Edit {
    Offer(usize, Devices),
    Withdraw(usize),
    Devices(usize, Devices),
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let before = (0..random.below(3)).map(|_| Edit::new(random)).collect();
        let mut plan = Self {
            before,
            arrival: Arrival::new(random),
            kubelet: Behaviour::new(random),
            steps: (0..random.below(4)).map(|_| Step::new(random)).collect(),
        };
        // Since 1.37 a kubelet that is late keeps the devices healthy for ever, whatever the plugin does
        // (`race.rs` has what can be done about it).
        if plan.kubelet.reregistration == Reregistration::Fixed {
            for step in &mut plan.steps {
                if let Step::LoseSocket { late_end, .. } = step {
                    *late_end = false;
                }
            }
        }
        plan
    }

    /// A life without trouble.
    pub(crate) fn calm() -> Self {
        Self {
            before: Vec::new(),
            arrival: Arrival::Plain,
            kubelet: Behaviour {
                sockets: Restart::WipeSockets,
                late: Duration::ZERO,
                reregistration: Reregistration::RaceUntil136,
                faults: Vec::new(),
            },
            steps: Vec::new(),
        }
    }
}

impl Arrival {
    /// What kind of life this is, for the figures.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain => "a new kubelet",
            Self::Twice(..) => "two kubelets in a row",
            Self::DirectoryGone => "a kubelet in a new directory",
            Self::DiskFull => "a kubelet on a full disk",
            Self::InTheWay(..) => "something in the way of a socket",
        }
    }

    fn new(random: &mut Random) -> Self {
        match random.below(10) {
            0..5 => Self::Plain,
            5..7 => Self::twice(random),
            7 => Self::DirectoryGone,
            8 => Self::DiskFull,
            _ => {
                let obstacles = [Obstacle::Directory, Obstacle::File, Obstacle::Link];
                Self::InTheWay(random.below(RESOURCES), random.pick(&obstacles))
            }
        }
    }

    fn twice(random: &mut Random) -> Self {
        let mut first = Behaviour::new(random);
        let until = random.pick(&[
            Until::Started,
            Until::Register,
            Until::Options,
            Until::Registered,
            Until::StreamOpened,
            Until::List,
            Until::NotDialled,
        ]);
        if let Until::NotDialled = until {
            first.faults.push(Fault::NoDialBack);
        }
        Self::Twice(first, until)
    }
}

impl Behaviour {
    fn new(random: &mut Random) -> Self {
        let late = if random.one_in(2) { DELAY } else { DELAY / 10 };
        Self {
            sockets: random.pick(&[Restart::WipeSockets, Restart::KeepSockets]),
            late: random.time(late),
            reregistration: random.pick(&[Reregistration::RaceUntil136, Reregistration::Fixed]),
            faults: (0..random.below(4)).map(|_| fault(random)).collect(),
        }
    }
}

fn fault(random: &mut Random) -> Fault {
    match random.below(6) {
        0 => Fault::refuse("not in this life"),
        1 => Fault::DelayRegister(random.time(DELAY)),
        2 => Fault::DelayOptions(random.time(DELAY)),
        _ => Fault::DropStreamAfter {
            lists: u64::try_from(random.below(4)).unwrap(),
        },
    }
}

impl Step {
    /// What kind of step this is, for the figures.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Edit(Edit::Offer(..)) => "a resource is offered",
            Self::Edit(Edit::Withdraw(_)) => "a resource is withdrawn",
            Self::Edit(Edit::Devices(..)) => "devices change",
            Self::LoseSocket { .. } => "a socket is lost",
            Self::HangUp(_) => "the kubelet hangs up",
        }
    }

    fn new(random: &mut Random) -> Self {
        match random.below(6) {
            0 => Self::LoseSocket {
                resource: random.below(RESOURCES),
                late_end: random.one_in(2),
            },
            1 => Self::HangUp(random.below(RESOURCES)),
            _ => Self::Edit(Edit::new(random)),
        }
    }
}

impl Edit {
    fn new(random: &mut Random) -> Self {
        let resource = random.below(RESOURCES);
        match random.below(8) {
            0 => Self::Withdraw(resource),
            1..4 => Self::Offer(resource, Devices::new(random, resource)),
            _ => Self::Devices(resource, Devices::new(random, resource)),
        }
    }
}
