//! The columns of `qat-inspect list`.

use clap::ValueEnum;

/// A column of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    Address,
    Id,
    Family,
    Pf,
    Driver,
    Group,
    Numa,
    Vfs,
    Services,
    Offered,
}

impl Column {
    /// What a table of PFs has if nothing else is asked for.
    pub(crate) const OF_PFS: [Self; 8] = [
        Self::Address,
        Self::Id,
        Self::Family,
        Self::Driver,
        Self::Group,
        Self::Numa,
        Self::Vfs,
        Self::Services,
    ];

    /// What a table of VFs has if nothing else is asked for.
    pub(crate) const OF_VFS: [Self; 8] = [
        Self::Address,
        Self::Id,
        Self::Pf,
        Self::Driver,
        Self::Group,
        Self::Numa,
        Self::Services,
        Self::Offered,
    ];

    /// Its heading in a table of `rows`.
    pub(crate) fn heading(self, rows: &'static str) -> &'static str {
        match self {
            Self::Address => rows,
            Self::Id => "ID",
            Self::Family => "FAMILY",
            Self::Pf => "PF",
            Self::Driver => "DRIVER",
            Self::Group => "GROUP",
            Self::Numa => "NUMA",
            Self::Vfs => "VFS",
            Self::Services => "SERVICES",
            Self::Offered => "OFFERED AS",
        }
    }
}
