//! Tests of `sysfs-pci` over trees in temporary directories, and over the `/sys` of this machine.

#[cfg(test)]
mod attributes;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod funnel;
#[cfg(test)]
mod live;
#[cfg(test)]
mod parsers;
#[cfg(test)]
mod partial;
#[cfg(test)]
mod refresh;
mod scan;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod writes;
