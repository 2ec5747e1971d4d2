//! The ioctls of VFIO, typed. The only file of the workspace with `unsafe`.
//!
//! VFIO's ioctls are `_IO(';', 100 + n)`: the number holds no size and no direction, so the kernel
//! cannot check what it is given (`include/uapi/linux/vfio.h`). Each call here is therefore bound to
//! the one type of its argument. The letter `;` from 0x64 to 0x7f belongs to VFIO alone
//! (`Documentation/userspace-api/ioctl/ioctl-number.rst`), so that any other driver that is asked by
//! mistake answers `ENOTTY` and touches nothing.
//!
//! The functions here open what they are told and ask no questions. Whoever opens the node of a
//! group that a workload is about to use makes that workload fail; [`Host::probe_group`] has the
//! questions.
//!
//! [`Host::probe_group`]: crate::Host::probe_group

use std::ffi::{CStr, CString, c_void};
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::{forget, take};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::ptr::without_provenance_mut;

use rustix::io::Result as RustixResult;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Setter, Updater, ioctl, opcode};
use sysfs_pci::PciAddress;
use vfio_bindings::bindings::vfio::{
    VFIO_BASE, VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_DMA_MAP_FLAG_READ,
    VFIO_DMA_MAP_FLAG_WRITE, VFIO_GROUP_FLAGS_CONTAINER_SET, VFIO_GROUP_FLAGS_VIABLE,
    VFIO_NOIOMMU_IOMMU, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_TYPE, VFIO_TYPE1_IOMMU,
    VFIO_TYPE1v2_IOMMU, vfio_device_info, vfio_group_status, vfio_iommu_type1_dma_map,
    vfio_iommu_type1_dma_unmap, vfio_region_info,
};

const GET_API_VERSION: Opcode = number(0);
const CHECK_EXTENSION: Opcode = number(1);
const SET_IOMMU: Opcode = number(2);
const GROUP_GET_STATUS: Opcode = number(3);
const GROUP_SET_CONTAINER: Opcode = number(4);
const GROUP_GET_DEVICE_FD: Opcode = number(6);
const DEVICE_GET_INFO: Opcode = number(7);
const DEVICE_GET_REGION_INFO: Opcode = number(8);
const IOMMU_MAP_DMA: Opcode = number(13);
const IOMMU_UNMAP_DMA: Opcode = number(14);

/// Memory is mapped in blocks of this size, the largest page that a kernel for our machines has.
const BLOCK: usize = 64 * 1024;

/// What VFIO calls `_IO(VFIO_TYPE, VFIO_BASE + n)`. The base is 100, and `n` at most 18.
const fn number(n: u8) -> Opcode {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is 100; a test holds it"
    )]
    opcode::none(VFIO_TYPE, VFIO_BASE as u8 + n)
}

/// An address space that groups are put into: `/dev/vfio/vfio`, open. It is gone when dropped.
#[derive(Debug)]
pub struct ContainerFile(File);

/// A group, open: nobody else can open it until this is dropped, and the devices of it are.
#[derive(Debug)]
pub struct GroupFile(File);

/// A device, open. Opening and closing it resets it.
#[derive(Debug)]
pub struct DeviceFile(OwnedFd);

/// Memory of this process that devices of a container may read and write. They may no more when it is dropped; one that is
/// never dropped is never given back to anybody either, so that no device writes to what is somebody else's.
#[derive(Debug)]
pub struct DmaMemory<'a> {
    container: &'a ContainerFile,
    memory: Vec<u8>,
    iova: u64,
    size: u64,
}

/// An interface to the IOMMU that a kernel may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// `VFIO_TYPE1_IOMMU`: the IOMMU of x86 and Arm servers.
    Type1,
    /// `VFIO_TYPE1v2_IOMMU`: the same with sane unmapping. QEMU and DPDK use it.
    Type1v2,
    /// `VFIO_NOIOMMU_IOMMU`: no protection at all.
    NoIommu,
}

/// What VFIO says of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Whether VFIO can have the group. Where the container is one of iommufd this is not the last
    /// word: the kernel looks again when a device is opened.
    pub viable: bool,
    /// Whether the group is in a container, so in use.
    pub container_set: bool,
}

/// What VFIO says of an open device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Whether it is a PCI function.
    pub pci: bool,
    /// Whether it can be reset.
    pub reset: bool,
    /// Number of regions, absent ones included.
    pub regions: u32,
    /// Number of kinds of interrupts.
    pub irqs: u32,
}

// === impl ContainerFile ===

impl ContainerFile {
    /// Opens the control node.
    ///
    /// # Errors
    ///
    /// What the kernel says, `EACCES` without permission for instance.
    pub fn open(path: &Path) -> io::Result<Self> {
        read_write(path).map(Self)
    }

    /// Asks for the version of the interface. It has always been 0.
    ///
    /// # Errors
    ///
    /// `ENOTTY`: the node is not VFIO's.
    pub fn api_version(&self) -> io::Result<i32> {
        // SAFETY: `VFIO_GET_API_VERSION` takes no argument and touches no memory.
        Ok(unsafe { ioctl(&self.0, Number::<GET_API_VERSION>(0)) }?)
    }

    /// Asks whether the kernel has an interface to the IOMMU. Before a group is in the container that
    /// depends on which modules are loaded.
    ///
    /// # Errors
    ///
    /// `ENOTTY`: the node is not VFIO's.
    pub fn has(&self, extension: Extension) -> io::Result<bool> {
        // SAFETY: `VFIO_CHECK_EXTENSION` takes a number, and touches no memory.
        let answer = unsafe { ioctl(&self.0, Number::<CHECK_EXTENSION>(extension.number())) };
        Ok(answer? > 0)
    }

    /// Chooses the interface to the IOMMU. A group must be in the container.
    ///
    /// The probe does not need this. It is one of the four steps to an open device, for tests on a
    /// real kernel that have to hold one.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EINVAL` without a group, `EPERM` where interrupts are not remapped.
    pub fn set_iommu(&self, extension: Extension) -> io::Result<()> {
        // SAFETY: `VFIO_SET_IOMMU` takes a number, and touches no memory.
        unsafe { ioctl(&self.0, Number::<SET_IOMMU>(extension.number())) }?;
        Ok(())
    }
}

impl ContainerFile {
    /// Lets the devices of the container reach so many new blocks of zeros, 64 KiB each, which they see at the address `iova`. For tests
    /// on a real kernel, as [`set_iommu`](Self::set_iommu): every user of VFIO does this, and it is here that a limit on
    /// locked memory shows.
    ///
    /// # Errors
    ///
    /// What the kernel says: `ENOMEM` beyond the limit on locked memory, `EINVAL` for an `iova` that is not on a page or
    /// that the IOMMU reserves, `EEXIST` for one that is taken.
    pub fn map(&self, blocks: usize, iova: u64) -> io::Result<DmaMemory<'_>> {
        let memory = vec![0_u8; (blocks + 1) * BLOCK];
        let first = memory.as_ptr().align_offset(BLOCK);
        let inside = memory.get(first..).unwrap_or_default();
        let size = (blocks * BLOCK) as u64;
        let map = vfio_iommu_type1_dma_map {
            argsz: size_of_struct::<vfio_iommu_type1_dma_map>(),
            flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
            vaddr: inside.as_ptr().expose_provenance() as u64,
            iova,
            size,
        };
        // SAFETY: `VFIO_IOMMU_MAP_DMA` reads one `vfio_iommu_type1_dma_map`. Devices may write to `size` bytes at `vaddr` from
        // now on. They are `blocks` whole blocks inside of `memory`, which has one more than that; nobody reads or
        // writes it through Rust any more, and it is freed only by the drop of `DmaMemory`, after the mapping is undone.
        unsafe { ioctl(&self.0, Setter::<IOMMU_MAP_DMA, _>::new(map)) }?;
        Ok(DmaMemory {
            container: self,
            memory,
            iova,
            size,
        })
    }
}

impl Drop for DmaMemory<'_> {
    fn drop(&mut self) {
        let mut unmap = vfio_iommu_type1_dma_unmap {
            argsz: size_of_struct::<vfio_iommu_type1_dma_unmap>(),
            iova: self.iova,
            size: self.size,
            ..vfio_iommu_type1_dma_unmap::default()
        };
        // SAFETY: `VFIO_IOMMU_UNMAP_DMA` reads and writes one `vfio_iommu_type1_dma_unmap`, and no more of it than `argsz`
        // says: the array at its end has no elements without a flag that asks for them.
        let undone = unsafe {
            ioctl(
                &self.container.0,
                Updater::<IOMMU_UNMAP_DMA, _>::new(&mut unmap),
            )
        };
        if undone.is_err() {
            // Devices may still write there, so it is nobody's for ever.
            forget(take(&mut self.memory));
        }
    }
}

// === impl GroupFile ===

impl GroupFile {
    /// Opens the node of a group. While it is open nobody else can open it or a device of the group.
    /// Devices are neither enabled nor reset by it.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EBUSY` when somebody has it open, `EPERM` for a group without IOMMU and
    /// without `CAP_SYS_RAWIO`.
    pub fn open(path: &Path) -> io::Result<Self> {
        read_write(path).map(Self)
    }

    /// Asks for the status.
    ///
    /// # Errors
    ///
    /// `ENOTTY`: the node is not a VFIO group's. `ENODEV`: its last device has gone.
    pub fn status(&self) -> io::Result<GroupStatus> {
        let mut status = vfio_group_status {
            argsz: size_of_struct::<vfio_group_status>(),
            flags: 0,
        };
        // SAFETY: `VFIO_GROUP_GET_STATUS` reads and writes one `vfio_group_status`, and no more of it
        // than `argsz` says.
        unsafe { ioctl(&self.0, Updater::<GROUP_GET_STATUS, _>::new(&mut status)) }?;
        Ok(GroupStatus {
            viable: status.flags & VFIO_GROUP_FLAGS_VIABLE != 0,
            container_set: status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET != 0,
        })
    }

    /// Puts the group into a container. For tests that hold a device, as
    /// [`set_iommu`](ContainerFile::set_iommu).
    ///
    /// # Errors
    ///
    /// What the kernel says: `EPERM` for a group that is not viable.
    pub fn set_container(&self, container: &ContainerFile) -> io::Result<()> {
        let container: RawFd = container.0.as_raw_fd();
        // SAFETY: `VFIO_GROUP_SET_CONTAINER` reads one `int`, a file descriptor.
        unsafe { ioctl(&self.0, Setter::<GROUP_SET_CONTAINER, _>::new(container)) }?;
        Ok(())
    }

    /// Opens a device of the group, which enables and resets it. For tests that hold a device, as
    /// [`set_iommu`](ContainerFile::set_iommu).
    ///
    /// # Errors
    ///
    /// What the kernel says: `EINVAL` without a container and an IOMMU, `ENODEV` when the group has no
    /// such device, `EACCES` when the PF is on `vfio-pci` and wants a token.
    pub fn device(&self, address: PciAddress) -> io::Result<DeviceFile> {
        let name = CString::new(address.to_string())?;
        // SAFETY: `VFIO_GROUP_GET_DEVICE_FD` reads a string that ends with a NUL.
        let device = unsafe { ioctl(&self.0, Name::<GROUP_GET_DEVICE_FD>(&name)) }?;
        Ok(DeviceFile(device))
    }
}

// === impl DeviceFile ===

impl DeviceFile {
    /// Asks what the device is. For tests that hold a device, as
    /// [`set_iommu`](ContainerFile::set_iommu).
    ///
    /// # Errors
    ///
    /// What the kernel says, `ENODEV` for instance when it is gone.
    pub fn info(&self) -> io::Result<DeviceInfo> {
        let mut info = vfio_device_info {
            argsz: size_of_struct::<vfio_device_info>(),
            ..vfio_device_info::default()
        };
        // SAFETY: `VFIO_DEVICE_GET_INFO` reads and writes one `vfio_device_info`, and no more of it
        // than `argsz` says.
        unsafe { ioctl(&self.0, Updater::<DEVICE_GET_INFO, _>::new(&mut info)) }?;
        Ok(DeviceInfo {
            pci: info.flags & VFIO_DEVICE_FLAGS_PCI != 0,
            reset: info.flags & VFIO_DEVICE_FLAGS_RESET != 0,
            regions: info.num_regions,
            irqs: info.num_irqs,
        })
    }
}

impl DeviceFile {
    /// Reads vendor and device from the configuration space, as whoever drives the function does. For a virtual function
    /// they are the kernel's word: the hardware shows none (PCI Express 9.3.4.1, `vfio_config_init`). For tests that hold
    /// a device, as [`set_iommu`](ContainerFile::set_iommu).
    ///
    /// # Errors
    ///
    /// What the kernel says, `ENODEV` for instance when it is gone.
    pub fn ids(&self) -> io::Result<(u16, u16)> {
        let mut info = vfio_region_info {
            argsz: size_of_struct::<vfio_region_info>(),
            index: VFIO_PCI_CONFIG_REGION_INDEX,
            ..vfio_region_info::default()
        };
        // SAFETY: `VFIO_DEVICE_GET_REGION_INFO` reads and writes one `vfio_region_info`, and no more of it than `argsz` says.
        unsafe {
            ioctl(
                &self.0,
                Updater::<DEVICE_GET_REGION_INFO, _>::new(&mut info),
            )
        }?;
        let mut bytes = [0; 4];
        File::from(self.0.try_clone()?).read_exact_at(&mut bytes, info.offset)?;
        let [a, b, c, d] = bytes;
        Ok((u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
    }
}

// === impl Extension ===

impl Extension {
    /// The number that stands for it.
    const fn number(self) -> usize {
        let number = match self {
            Self::Type1 => VFIO_TYPE1_IOMMU,
            Self::Type1v2 => VFIO_TYPE1v2_IOMMU,
            Self::NoIommu => VFIO_NOIOMMU_IOMMU,
        };
        number as usize
    }
}

fn read_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The size of a structure, as its field `argsz` wants it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "these structures have a few dozen bytes"
)]
const fn size_of_struct<T>() -> u32 {
    size_of::<T>() as u32
}

/// A call that takes a number and answers with one.
struct Number<const OPCODE: Opcode>(usize);

// SAFETY: the argument is a number and not an address, and the result is the return value. Who makes
// one sees to it that the call is of that kind.
unsafe impl<const OPCODE: Opcode> Ioctl for Number<OPCODE> {
    type Output = i32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        without_provenance_mut(self.0)
    }

    unsafe fn output_from_ptr(answer: IoctlOutput, _: *mut c_void) -> RustixResult<i32> {
        Ok(answer)
    }
}

/// A call that takes a name and answers with a new file.
struct Name<'a, const OPCODE: Opcode>(&'a CStr);

// SAFETY: the argument is a string that ends with a NUL and lives as long as this; the kernel only
// reads it. The result of a call that did not fail is a file descriptor that nobody else has. Who makes
// one sees to it that the call is of that kind.
unsafe impl<const OPCODE: Opcode> Ioctl for Name<'_, OPCODE> {
    type Output = OwnedFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0.as_ptr().cast_mut().cast()
    }

    unsafe fn output_from_ptr(answer: IoctlOutput, _: *mut c_void) -> RustixResult<OwnedFd> {
        // SAFETY: the call did not fail, so this is a file descriptor that the kernel has just made,
        // with `O_CLOEXEC` (`vfio_device_open_file` and its callers).
        Ok(unsafe { OwnedFd::from_raw_fd(answer) })
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_kernel() {
        for (number, expected) in [
            (GET_API_VERSION, 0x3b64),
            (CHECK_EXTENSION, 0x3b65),
            (SET_IOMMU, 0x3b66),
            (GROUP_GET_STATUS, 0x3b67),
            (GROUP_SET_CONTAINER, 0x3b68),
            (GROUP_GET_DEVICE_FD, 0x3b6a),
            (DEVICE_GET_INFO, 0x3b6b),
            (DEVICE_GET_REGION_INFO, 0x3b6c),
            (IOMMU_MAP_DMA, 0x3b71),
            (IOMMU_UNMAP_DMA, 0x3b72),
        ] {
            assert_eq!(number, expected, "{number:#x}");
        }
        assert_eq!(VFIO_BASE, 100);
        assert_eq!(Extension::Type1.number(), 1);
        assert_eq!(Extension::Type1v2.number(), 3);
        assert_eq!(Extension::NoIommu.number(), 8);
    }

    #[test]
    fn the_structures_are_those_of_the_kernel() {
        assert_eq!(size_of_struct::<vfio_group_status>(), 8);
        assert_eq!(offset_of!(vfio_group_status, flags), 4);
        assert_eq!(
            (VFIO_GROUP_FLAGS_VIABLE, VFIO_GROUP_FLAGS_CONTAINER_SET),
            (1, 2)
        );
        assert_eq!(size_of_struct::<vfio_device_info>(), 24);
        assert_eq!(offset_of!(vfio_device_info, flags), 4);
        assert_eq!(offset_of!(vfio_device_info, num_regions), 8);
        assert_eq!(offset_of!(vfio_device_info, num_irqs), 12);
        assert_eq!((VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_FLAGS_PCI), (1, 2));
        assert_eq!(size_of_struct::<vfio_region_info>(), 32);
        assert_eq!(offset_of!(vfio_region_info, index), 8);
        assert_eq!(offset_of!(vfio_region_info, offset), 24);
        assert_eq!(VFIO_PCI_CONFIG_REGION_INDEX, 7);
        assert_eq!(size_of_struct::<vfio_iommu_type1_dma_map>(), 32);
        assert_eq!(offset_of!(vfio_iommu_type1_dma_map, vaddr), 8);
        assert_eq!(offset_of!(vfio_iommu_type1_dma_map, iova), 16);
        assert_eq!(offset_of!(vfio_iommu_type1_dma_map, size), 24);
        assert_eq!((VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE), (1, 2));
        assert_eq!(size_of_struct::<vfio_iommu_type1_dma_unmap>(), 24);
        assert_eq!(offset_of!(vfio_iommu_type1_dma_unmap, iova), 8);
        assert_eq!(offset_of!(vfio_iommu_type1_dma_unmap, size), 16);
    }

    /// The code of `ENOTTY` and of what an error says.
    fn is_enotty(error: &io::Error) -> bool {
        error.raw_os_error() == Some(25)
    }

    #[test]
    fn another_driver_knows_none_of_the_calls() {
        let null = Path::new("/dev/null");
        let container = ContainerFile::open(null).unwrap();
        let group = GroupFile::open(null).unwrap();
        let device = DeviceFile(File::open(null).unwrap().into());
        let address = "0000:6b:00.1".parse().unwrap();
        let errors = [
            container.api_version().err(),
            container.has(Extension::Type1v2).err(),
            container.set_iommu(Extension::Type1v2).err(),
            group.status().err(),
            group.set_container(&container).err(),
            group.device(address).err(),
            device.info().err(),
            device.ids().err(),
            container.map(1, 0).err(),
        ];
        for error in errors {
            assert!(is_enotty(&error.unwrap()));
        }
    }
}
