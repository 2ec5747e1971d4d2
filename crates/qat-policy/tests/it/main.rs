//! Integration tests of `qat-policy`.

#[cfg(test)]
mod inventory;
#[cfg(test)]
mod node;
#[cfg(test)]
mod preference;
#[cfg(test)]
mod provision;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod reasons;
#[cfg(test)]
mod table;
#[cfg(test)]
mod uio;
