//! The file system that SQLite sees: its own, with each call asked about first.
//!
//! An open file is [`File`], and behind it in the same piece of memory the file of SQLite's own file system.

#![expect(
    unsafe_code,
    reason = "SQLite's interface for file systems is one of C"
)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Once};

use rusqlite::ffi::{
    SQLITE_OK, sqlite3_file, sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find,
    sqlite3_vfs_register,
};

use crate::{Call, Error, Scope};

/// SQLite's own file system; set before anything here is called.
static REAL: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(ptr::null_mut());

/// Puts this in the place of SQLite's own file system, once.
pub(crate) fn install() -> io::Result<()> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: null asks for the default one, which stays for as long as the program runs.
        let real = unsafe { sqlite3_vfs_find(ptr::null()) };
        // SAFETY: it is null, or points to a file system that SQLite has set up.
        let Some(own) = (unsafe { real.as_ref() }) else {
            return;
        };
        // What is not asked about goes to SQLite's own functions directly. They find there what is theirs.
        let shim = Box::new(sqlite3_vfs {
            szOsFile: own.szOsFile + FILE_BYTES,
            pNext: ptr::null_mut(),
            zName: c"milepost-faults".as_ptr(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            ..*own
        });
        // SAFETY: it is never freed, as SQLite asks.
        if unsafe { sqlite3_vfs_register(Box::leak(shim), 1) } == SQLITE_OK {
            REAL.store(real, Ordering::Release);
        }
    });
    if REAL.load(Ordering::Acquire).is_null() {
        return Err(io::Error::other("SQLite has no file system to build on"));
    }
    Ok(())
}

#[repr(C)]
struct File {
    base: sqlite3_file,
    /// None: no file of a test.
    scope: Option<Arc<Scope>>,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "it is 16"
)]
const FILE_BYTES: c_int = size_of::<File>() as c_int;

/// What there is of version 2, which knows shared memory. Version 3 maps files, which the store does not.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// SQLite's own file behind one of these.
///
/// # Safety
///
/// `file` points to memory of `szOsFile` bytes.
unsafe fn behind(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: `szOsFile` has room for both, and this is no larger a multiple of the alignment than that.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// The functions of SQLite's own file behind an open one.
///
/// # Safety
///
/// `open` has opened `file`.
unsafe fn methods<'f>(file: *mut sqlite3_file) -> (*mut sqlite3_file, &'f sqlite3_io_methods) {
    // SAFETY: that it is open means that its functions are there.
    unsafe {
        let real = behind(file);
        (real, &*(*real).pMethods)
    }
}

/// Counts a call on an open file; says how it is to fail, if it is.
///
/// # Safety
///
/// `open` has opened `file`.
unsafe fn ask(file: *mut sqlite3_file, call: Call) -> Option<Error> {
    // SAFETY: as this function's.
    unsafe { scope(file) }?.ask(call)
}

/// # Safety
///
/// `open` has opened `file`, and it stays open for `'f`.
unsafe fn scope<'f>(file: *mut sqlite3_file) -> Option<&'f Scope> {
    // SAFETY: it is a `File`, of which nothing is changed until it is closed.
    unsafe { (*file.cast::<File>()).scope.as_deref() }
}

/// What a call that is to fail answers.
fn fail(call: Call, error: Error) -> c_int {
    errno::set_errno(errno::Errno(error.errno()));
    error.code(call)
}

/// The directory of a test that a path is below.
///
/// # Safety
///
/// `name` is null, or points to a text that ends with a zero.
unsafe fn scope_of(name: *const c_char) -> Option<Arc<Scope>> {
    if name.is_null() {
        // A temporary file of SQLite's own.
        return None;
    }
    // SAFETY: as this function's.
    let name = unsafe { CStr::from_ptr(name) };
    Scope::of(Path::new(OsStr::from_bytes(name.to_bytes())))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let real = REAL.load(Ordering::Acquire);
    // SAFETY: SQLite gives a path, and memory of `szOsFile` bytes, which is nobody's yet. Its own file system gets both
    // as if this were not here; it leaves no functions in a file that it could not open.
    unsafe {
        let scope = scope_of(name);
        (*file).pMethods = ptr::null();
        if let Some(error) = scope.as_deref().and_then(|scope| scope.ask(Call::Open)) {
            return fail(Call::Open, error);
        }
        let own = behind(file);
        (*own).pMethods = ptr::null();
        let code =
            ((*real).xOpen.expect("SQLite's own is complete"))(real, name, own, flags, out_flags);
        if !(*own).pMethods.is_null() {
            let base = sqlite3_file {
                pMethods: &raw const METHODS,
            };
            file.cast::<File>().write(File { base, scope });
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let real = REAL.load(Ordering::Acquire);
    // SAFETY: SQLite gives a path, which goes to its own file system as it came.
    unsafe {
        match scope_of(name).and_then(|scope| scope.ask(Call::Delete)) {
            Some(error) => fail(Call::Delete, error),
            None => ((*real).xDelete.expect("SQLite's own is complete"))(real, name, sync),
        }
    }
}

unsafe extern "C" fn access(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    found: *mut c_int,
) -> c_int {
    let real = REAL.load(Ordering::Acquire);
    // SAFETY: SQLite gives a path and a place for the answer, which go to its own file system as they came.
    unsafe {
        match scope_of(name).and_then(|scope| scope.ask(Call::Access)) {
            Some(error) => fail(Call::Access, error),
            None => ((*real).xAccess.expect("SQLite's own is complete"))(real, name, flags, found),
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what `open` has opened, once, and does not use it afterwards.
    unsafe {
        let (real, methods) = methods(file);
        let code = (methods.xClose.expect("SQLite's own is complete"))(real);
        file.cast::<File>().drop_in_place();
        code
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: SQLite writes to what is open; half of the bytes that it gives are there if all are.
    unsafe {
        let (real, methods) = methods(file);
        let write = methods.xWrite.expect("SQLite's own is complete");
        let end = u64::try_from(offset + i64::from(count)).unwrap_or(0);
        match scope(file).and_then(|scope| scope.ask_write(end)) {
            Some(error) => {
                if error == Error::Torn {
                    write(real, bytes, count / 2, offset);
                }
                fail(Call::Write, error)
            }
            None => write(real, bytes, count, offset),
        }
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite syncs what is open.
    unsafe {
        match (ask(file, Call::Sync), scope(file)) {
            (Some(error), _) => fail(Call::Sync, error),
            (None, Some(_)) => SQLITE_OK,
            (None, None) => {
                let (real, methods) = methods(file);
                (methods.xSync.expect("SQLite's own is complete"))(real, flags)
            }
        }
    }
}

/// Functions that go to SQLite's own file as they are; those with a `Call` are asked about first.
macro_rules! forward {
    ($($name:ident $method:ident ($($argument:ident: $type:ty),*) $($call:ident)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $type),*) -> c_int {
            // SAFETY: SQLite calls this for what is open, with arguments that are its own file's.
            unsafe {
                $(if let Some(error) = ask(file, Call::$call) {
                    return fail(Call::$call, error);
                })?
                let (real, methods) = methods(file);
                (methods.$method.expect("SQLite's own is complete"))(real, $($argument),*)
            }
        }
    )*};
}

forward! {
    read xRead(bytes: *mut c_void, count: c_int, offset: i64) Read;
    truncate xTruncate(bytes: i64) Truncate;
    file_size xFileSize(bytes: *mut i64) FileSize;
    lock xLock(level: c_int) Lock;
    unlock xUnlock(level: c_int);
    check_reserved_lock xCheckReservedLock(found: *mut c_int);
    file_control xFileControl(what: c_int, argument: *mut c_void);
    sector_size xSectorSize();
    device_characteristics xDeviceCharacteristics();
    shm_map xShmMap(part: c_int, bytes: c_int, extend: c_int, at: *mut *mut c_void) ShmMap;
    shm_unmap xShmUnmap(delete: c_int);
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: SQLite locks what is open.
    unsafe {
        // Giving a lock back cannot fail, and SQLite does not ask whether it has.
        if flags & rusqlite::ffi::SQLITE_SHM_LOCK != 0
            && let Some(error) = ask(file, Call::ShmLock)
        {
            return fail(Call::ShmLock, error);
        }
        let (real, methods) = methods(file);
        (methods.xShmLock.expect("SQLite's own is complete"))(real, offset, count, flags)
    }
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: SQLite calls this for what is open.
    unsafe {
        let (real, methods) = methods(file);
        (methods.xShmBarrier.expect("SQLite's own is complete"))(real);
    }
}
