//! Which files may a program touch? Landlock's rules: read and run what is bound, use three devices, write nothing or
//! only in `/tmp`; no network, no signals out.

use super::root::DEVICES;
use super::system::landlock_abi;
use super::wire::Setup;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The newest interface that the rules know.
const NEWEST: ABI = ABI::V6;
/// The oldest one that will do as the only wall: before it, a file could be emptied without being opened.
pub(super) const OLDEST_ALONE: i64 = 3;

/// What a program may write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writable {
    /// Its own `/tmp`.
    Tmp,
    /// Nothing.
    Nothing,
}

fn ruleset(setup: &Setup, writable: Writable) -> Result<RulesetCreated, RulesetError> {
    let devices = DEVICES.map(PathBuf::from);
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(landlock::path_beneath_rules(&setup.binds, AccessFs::from_read(NEWEST)))?
        .add_rules(landlock::path_beneath_rules(&devices, AccessFs::ReadFile | AccessFs::WriteFile))?;
    match writable {
        Writable::Nothing => Ok(rules),
        Writable::Tmp => rules.add_rules(landlock::path_beneath_rules(
            ["/tmp"],
            AccessFs::from_all(NEWEST) & !AccessFs::Execute,
        )),
    }
}

/// Says once more what the mounts say. A kernel without Landlock is no failure; whether the walls hold is what the
/// self-test's programs find out.
pub(super) fn restrict_beside_mounts(setup: &Setup) {
    let _ = ruleset(setup, Writable::Tmp).and_then(RulesetCreated::restrict_self);
}

/// The only wall around files: not being put up is a failure.
pub(super) fn restrict_alone(setup: &Setup) -> io::Result<()> {
    if landlock_abi() < OLDEST_ALONE {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    let status = ruleset(setup, Writable::Nothing)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|_| io::Error::last_os_error())?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    Ok(())
}

/// What a program may do in a folder of its own, as bits of `landlock_path_beneath_attr`: everything but running what is
/// there; 0 where the kernel has no Landlock.
pub(super) fn own_folder() -> u64 {
    // How many kinds of access each version of the interface has (landlock(7)); the first is running.
    let kinds = match landlock_abi() {
        ..=0 => return 0,
        1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    ((1 << kinds) - 1) & !1
}

/// The rules for programs of a later process, as a descriptor; nothing where the kernel has no Landlock. A folder of the
/// program's own is for that process to add.
pub(super) fn for_later(setup: &Setup) -> Option<OwnedFd> {
    ruleset(setup, Writable::Nothing).ok().and_then(Into::into)
}
