//! What can be wrong with rules for pools.

use passthrough::NumberedPrefix;
use qat_policy::{PoolName, Selector};
use thiserror::Error;

/// Why rules for pools cannot be used. `rule` is the number of a rule as it stands in the file, from 1.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PoolProblem {
    /// Two rules speak of one pool, or of every pool.
    #[error("pool rules {first} and {second} are both for {}; put them into one", whose(pool.as_ref()))]
    Twice {
        /// The pool; none for the rules of every pool.
        pool: Option<PoolName>,
        /// The first of the rules.
        first: usize,
        /// The second.
        second: usize,
    },
    /// Every pool would have one name.
    #[error(
        "pool rule {rule} has `name` and no `pool`, so every pool would be called `{name}`; say which pool is"
    )]
    NameOfAll {
        /// The rule.
        rule: usize,
        /// The name.
        name: PoolName,
    },
    /// A rule is for a pool that there is, and for one that it makes.
    #[error(
        "pool rule {rule} has both `pool` and `select`; with `select` a pool is made, so leave `pool` out"
    )]
    PoolAndSelect {
        /// The rule.
        rule: usize,
    },
    /// A pool that a rule makes has no name.
    #[error("pool rule {rule} selects VFs ({selector}) and has no `name` for their pool")]
    NoName {
        /// The rule.
        rule: usize,
        /// What it selects.
        selector: Box<Selector>,
    },
    /// A rule makes a pool that another rule makes or names.
    #[error("two pool rules make or name a pool `{name}`; give each its own `name`")]
    NameTwice {
        /// The name.
        name: PoolName,
    },
    /// A rule would never be reached.
    #[error(
        "pool `{name}` ({selector}) would never get a VF, as `{taker}` ({first}) stands before it and takes them all; put the \
         closer rule first"
    )]
    Covered {
        /// The pool that would be empty.
        name: PoolName,
        /// What it selects.
        selector: Box<Selector>,
        /// The pool that takes all.
        taker: PoolName,
        /// What that one selects.
        first: Box<Selector>,
    },
    /// A pool that a rule makes is called as VFs with some services are.
    #[error(
        "a pool with selected VFs cannot be called `{name}`, as that is what VFs with these services are called; choose another \
         `name`, or give that pool one too"
    )]
    SelectedOfServices {
        /// The name.
        name: PoolName,
    },
    /// Two pools would have one name.
    #[error("pools `{one}` and `{other}` would both be called `{name}`; give each its own `name`")]
    SameName {
        /// A pool.
        one: PoolName,
        /// Another.
        other: PoolName,
        /// The name.
        name: PoolName,
    },
    /// A new name is what other services are called by.
    #[error(
        "pool `{pool}` cannot be called `{name}`, as that is what VFs with other services are called; choose another `name`, or \
         give that pool one too"
    )]
    NameOfServices {
        /// The pool.
        pool: PoolName,
        /// The name.
        name: PoolName,
    },
    /// Two pools would set one variable.
    #[error(
        "pools called `{one}` and `{other}` would both set `{variable}`, and a container that asks for both would keep \
         one; choose names that differ in more than `.`, `-` and `_` and the case of letters"
    )]
    SameVariable {
        /// A pool's name.
        one: PoolName,
        /// Another's.
        other: PoolName,
        /// The variable.
        variable: String,
    },
    /// Two pools number their variables alike, and were told so each.
    #[error(
        "pools `{one}` and `{other}` would both set `{prefix}0`, and a container that asks for both would keep one; give \
         them prefixes of their own"
    )]
    SamePrefix {
        /// A pool.
        one: PoolName,
        /// Another.
        other: PoolName,
        /// The prefix.
        prefix: NumberedPrefix,
    },
    /// CDI devices have one node, and VFs would have two.
    #[error(
        "{} would have `vfio: both` and `cdi: {cdi}`: a device of CDI has one node, and Kata would plug the other beside it; \
         choose `vfio: group` or `vfio: cdev`, or `cdi: off`", whose(pool.as_ref())
    )]
    BothWithCdi {
        /// The pool; none for every pool.
        pool: Option<PoolName>,
        /// The choice of CDI.
        cdi: super::CdiMode,
    },
    /// CDI devices have one node, and VFs would have none.
    #[error("{} would have `vfio: none` and `cdi: {cdi}`, and no node to describe; choose `cdi: off`", whose(pool.as_ref()))]
    NoneWithCdi {
        /// The pool; none for every pool.
        pool: Option<PoolName>,
        /// The choice of CDI.
        cdi: super::CdiMode,
    },
    /// Only CDI can say whose a node is.
    #[error(
        "{} has an `owner`, which only CDI can tell a runtime; add `cdi: field`", whose(pool.as_ref())
    )]
    OwnerWithoutCdi {
        /// The pool; none for every pool.
        pool: Option<PoolName>,
    },
    /// No mode of a file.
    #[error("{} has an `owner` with mode {mode:04o}; a node has at most 0777", whose(pool.as_ref()))]
    Mode {
        /// The pool; none for every pool.
        pool: Option<PoolName>,
        /// The mode.
        mode: u32,
    },
}

fn whose(pool: Option<&PoolName>) -> String {
    pool.map_or_else(|| "every pool".to_owned(), |pool| format!("pool `{pool}`"))
}
