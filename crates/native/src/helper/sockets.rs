//! Sockets. One that listens, or has an address otherwise, is given up by the frozen process and made anew when it is woken; a pair with both ends here is this
//! process's own, and each line of the session has a copy; what is connected to somebody else is shared, and named.

use crate::helper::inventory::Inventory;
use crate::helper::mend::Line;
use crate::helper::records::{Kind, Record};
use crate::helper::sys::{self, Stat};

const SOL_SOCKET: usize = 1;
const SO_REUSEADDR: usize = 2;
const SO_TYPE: usize = 3;
const SO_BROADCAST: usize = 6;
const SO_SNDBUF: usize = 7;
const SO_RCVBUF: usize = 8;
const SO_KEEPALIVE: usize = 9;
const SO_REUSEPORT: usize = 15;
const SO_PASSCRED: usize = 16;
const SO_RCVTIMEO: usize = 20;
const SO_SNDTIMEO: usize = 21;
const SO_ACCEPTCONN: usize = 30;
const SO_PROTOCOL: usize = 38;
const SO_DOMAIN: usize = 39;
const IPPROTO_IP: usize = 0;
const IP_TTL: usize = 2;
const IP_MULTICAST_TTL: usize = 33;
const IP_MULTICAST_LOOP: usize = 34;
const IPPROTO_TCP: usize = 6;
const TCP_NODELAY: usize = 1;
const TCP_DEFER_ACCEPT: usize = 9;
const TCP_INFO: usize = 11;
const IPPROTO_IPV6: usize = 41;
const IPV6_UNICAST_HOPS: usize = 16;
const IPV6_MULTICAST_HOPS: usize = 18;
const IPV6_MULTICAST_LOOP: usize = 19;
const IPV6_V6ONLY: usize = 26;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_UNIX: u32 = 1;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
/// What the kernel cuts to what it allows, where the socket does not tell its own.
const BACKLOG: u32 = 4096;

/// What is kept of a socket that is made anew.
const OPTIONS: [(usize, usize); 14] = [
    (SOL_SOCKET, SO_REUSEADDR),
    (SOL_SOCKET, SO_REUSEPORT),
    (SOL_SOCKET, SO_KEEPALIVE),
    (SOL_SOCKET, SO_PASSCRED),
    (SOL_SOCKET, SO_BROADCAST),
    (IPPROTO_IP, IP_TTL),
    (IPPROTO_IP, IP_MULTICAST_TTL),
    (IPPROTO_IP, IP_MULTICAST_LOOP),
    (IPPROTO_IPV6, IPV6_UNICAST_HOPS),
    (IPPROTO_IPV6, IPV6_MULTICAST_HOPS),
    (IPPROTO_IPV6, IPV6_MULTICAST_LOOP),
    (IPPROTO_IPV6, IPV6_V6ONLY),
    (IPPROTO_TCP, TCP_NODELAY),
    (IPPROTO_TCP, TCP_DEFER_ACCEPT),
];
const ADDRESS: usize = 128;

/// Everything by which it is made anew, as bytes of a record's text.
#[repr(C)]
#[derive(Clone, Copy)]
struct Made {
    domain: u32,
    kind: u32,
    protocol: u32,
    /// 0 where it does not listen.
    backlog: u32,
    flags: u32,
    length: u32,
    /// Of each option: 1 more than its value, 0 where it has none.
    options: [u32; OPTIONS.len()],
    address: [u8; ADDRESS],
}

fn option(fd: i32, level: usize, name: usize) -> Option<u32> {
    let mut value = [0; 4];
    sys::option(fd, level, name, &mut value).ok()?;
    Some(u32::from_le_bytes(value))
}

pub(crate) fn look(all: &mut Inventory, fd: i32, stat: &Stat) {
    let of = |name| option(fd, SOL_SOCKET, name).unwrap_or(0);
    let (domain, kind) = (of(SO_DOMAIN), of(SO_TYPE));
    let flags = sys::flags(fd).unwrap_or(0) as u32;
    let mut address = [0; ADDRESS];
    let length = sys::socket_name(fd, &mut address).unwrap_or(0);
    let listens = of(SO_ACCEPTCONN) != 0;
    if !listens && !is_bound(fd, domain, kind, &address[..length]) {
        let values = [stat.ino, 0, u64::from(domain) | u64::from(kind) << 32, u64::from(flags)];
        all.records.push(Kind::Socket, fd, values, &[]);
        return;
    }
    let mut one = Made {
        domain,
        kind,
        protocol: of(SO_PROTOCOL),
        backlog: if listens { BACKLOG } else { 0 },
        flags,
        length: length as u32,
        options: [0; OPTIONS.len()],
        address,
    };
    for (place, (level, name)) in one.options.iter_mut().zip(OPTIONS) {
        let is_internet = matches!(domain, AF_INET | AF_INET6);
        let applies = match level {
            IPPROTO_IP => domain == AF_INET && kind != SOCK_STREAM,
            IPPROTO_IPV6 => domain == AF_INET6 && (name == IPV6_V6ONLY || kind != SOCK_STREAM),
            IPPROTO_TCP => is_internet && kind == SOCK_STREAM,
            _ => true,
        };
        if applies {
            *place = option(fd, level, name).map_or(0, |value| value + 1);
        }
    }
    if listens && matches!(domain, AF_INET | AF_INET6) {
        let mut info = [0; 32];
        // struct tcp_info: of a socket that listens, `tcpi_sacked` (at 28) is its backlog.
        if sys::option(fd, IPPROTO_TCP, TCP_INFO, &mut info) == Ok(32) {
            one.backlog = u32::from_le_bytes([info[28], info[29], info[30], info[31]]);
        }
    }
    // SAFETY: a value of plain numbers, seen as its bytes.
    let bytes = unsafe { core::slice::from_raw_parts((&raw const one).cast::<u8>(), size_of::<Made>()) };
    let which = if listens { Kind::Listener } else { Kind::Bound };
    all.records.push(which, fd, [stat.ino, 0, 0, 0], bytes);
}

/// Whether a socket keeps others from its address, and is not connected: so that it can be made anew.
fn is_bound(fd: i32, domain: u32, kind: u32, address: &[u8]) -> bool {
    // sockaddr_in, sockaddr_in6: the port at 2. sockaddr_un: the name at 2, none where it has none.
    let has_address = match domain {
        AF_INET | AF_INET6 => {
            matches!(kind, SOCK_STREAM | SOCK_DGRAM) && address.get(2..4).is_some_and(|port| port != [0; 2])
        }
        AF_UNIX => address.len() > 2,
        _ => false,
    };
    has_address && !sys::has_peer(fd) && (domain == AF_UNIX || kind != SOCK_STREAM || never_connected(fd))
}

fn never_connected(fd: i32) -> bool {
    const CLOSED: u8 = 7;
    let mut info = [0; 160];
    // struct tcp_info: its state first, `tcpi_segs_out` at 136.
    let length = sys::option(fd, IPPROTO_TCP, TCP_INFO, &mut info).unwrap_or(0);
    length >= 140 && info[0] == CLOSED && info[136..140] == [0; 4]
}

/// Whether there are sockets that are made anew.
pub(crate) fn has_addresses(all: &Inventory) -> bool {
    all.has(Kind::Listener) || all.has(Kind::Bound)
}

// ---- pairs ----

fn is_pairable(one: &Record) -> bool {
    one.c == u64::from(AF_UNIX) | u64::from(SOCK_STREAM) << 32
}

/// When all are known: which of them are connected to each other. Netlink tells; where it does not, they are shared and named.
pub(crate) fn pair_up(all: &mut Inventory) {
    if all.records.of(Kind::Socket).filter(is_pairable).count() < 2 {
        return;
    }
    const AF_NETLINK: usize = 16;
    const SOCK_RAW: usize = 3;
    const NETLINK_SOCK_DIAG: usize = 4;
    let Ok(netlink) = sys::socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG) else { return };
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, one)) = all.records.next_of(Kind::Socket, &mut at, end) {
        if !is_pairable(&one) {
            continue;
        }
        let Some((peer, shut)) = peer_of(netlink, one.a as u32, all.scratch()) else { continue };
        if all.records.of(Kind::Socket).any(|other| other.a == u64::from(peer)) {
            all.records.set(index, Record { b: u64::from(peer), d: one.d | u64::from(shut) << 32, ..one });
        }
    }
    sys::close(netlink);
}

/// The inode of a Unix socket's peer, and what was shut down of it, 1 for receiving and 2 for sending: man 7 sock_diag.
fn peer_of(netlink: i32, inode: u32, buffer: &mut [u8]) -> Option<(u32, u8)> {
    // nlmsghdr: length, type SOCK_DIAG_BY_FAMILY and flags NLM_F_REQUEST, sequence, port; then unix_diag_req: family, states, inode,
    // UDIAG_SHOW_PEER, no cookie.
    let request = [40u32, 20 | 1 << 16, inode, 0, AF_UNIX, !0, inode, 4, !0, !0];
    let mut bytes = [0; 40];
    for (place, word) in bytes.chunks_exact_mut(4).zip(request) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    sys::send(netlink, &bytes, 0).ok()?;
    let count = sys::receive(netlink, buffer, 0).ok()?;
    let answer = &buffer[..count];
    let word = |at: usize| -> Option<u32> { Some(u32::from_le_bytes(answer.get(at..at + 4)?.try_into().ok()?)) };
    // The answer: header, unix_diag_msg (16 bytes, its inode at 4), attributes: length and type in 16 bits each, then the value.
    if word(4)? as u16 != 20 || word(20)? != inode {
        return None;
    }
    let (mut at, mut peer, mut shut) = (32, None, 0);
    while let Some(head) = word(at) {
        let length = (head & 0xffff) as usize;
        match head >> 16 {
            2 => peer = word(at + 4),
            6 => shut = answer.get(at + 4).copied().unwrap_or(0) & 3,
            _ => {}
        }
        if length < 4 {
            break;
        }
        at += length.next_multiple_of(4);
    }
    Some((peer?, shut))
}

/// Copies of all own pairs, with what is in them. Before the fork; both processes have them.
pub(crate) fn copy(all: &mut Inventory) -> sys::Result<()> {
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, one)) = all.records.next_of(Kind::Socket, &mut at, end) {
        if one.b == 0 || all.records.before(index, Kind::Socket).any(|other| other.a == one.b || other.a == one.a) {
            continue;
        }
        let Some(other) = all.records.of(Kind::Socket).find(|other| other.a == one.b) else { continue };
        let pair = sys::socket_pair(sys::AF_UNIX, sys::SOCK_STREAM)?;
        // What is in it has to find room, whatever it was sent in.
        for new in pair {
            _ = sys::set_option(new, SOL_SOCKET, SO_SNDBUF, &i32::MAX.to_le_bytes());
        }
        let is_whole = copy_content(one.fd, pair[1]) && copy_content(other.fd, pair[0]);
        for (old, new) in [(one, pair[0]), (other, pair[1])] {
            copy_settings(&old, new);
        }
        all.records.push(Kind::PairCopy, one.fd, [one.a, one.b, pair[0] as u64, pair[1] as u64], &[]);
        if !is_whole {
            all.records.push(Kind::LostContent, one.fd, [0; 4], &[]);
        }
    }
    Ok(())
}

fn copy_settings(old: &Record, new: i32) {
    for name in [SO_SNDBUF, SO_RCVBUF] {
        // The kernel doubles what it is told.
        if let Some(size) = option(old.fd, SOL_SOCKET, name) {
            _ = sys::set_option(new, SOL_SOCKET, name, &(size / 2).to_le_bytes());
        }
    }
    for name in [SO_RCVTIMEO, SO_SNDTIMEO] {
        let mut time = [0; 16];
        if sys::option(old.fd, SOL_SOCKET, name, &mut time).is_ok() && time != [0; 16] {
            _ = sys::set_option(new, SOL_SOCKET, name, &time);
        }
    }
    if let Some(passes) = option(old.fd, SOL_SOCKET, SO_PASSCRED) {
        _ = sys::set_option(new, SOL_SOCKET, SO_PASSCRED, &passes.to_le_bytes());
    }
    let shut = old.d >> 32 & 3;
    if shut != 0 {
        _ = sys::shutdown(new, shut as usize - 1);
    }
}

/// What waits to be read at `from` is sent into `to`. Whether that is all of it.
fn copy_content(from: i32, to: i32) -> bool {
    const MSG_PEEK: usize = 2;
    let held = sys::readable(from);
    if held == 0 {
        return true;
    }
    let size = held.next_multiple_of(4096);
    let Ok(room) = sys::mmap(0, size, sys::READ_WRITE, sys::PRIVATE_ANONYMOUS) else { return false };
    // SAFETY: just mapped, for this alone.
    let bytes = unsafe { core::slice::from_raw_parts_mut(room as *mut u8, held) };
    let is_whole = sys::receive(from, bytes, MSG_PEEK | sys::MSG_DONTWAIT) == Ok(held)
        && sys::send(to, bytes, sys::MSG_DONTWAIT) == Ok(held);
    sys::munmap(room, size);
    is_whole
}

/// In the live process, which keeps its own.
pub(crate) fn close_copies(all: &Inventory) {
    for copy in all.records.of(Kind::PairCopy) {
        sys::close(copy.c as i32);
        sys::close(copy.d as i32);
    }
}

/// The copies take the place of what the other process goes on using.
pub(crate) fn keep_copies(all: &mut Inventory) {
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, copy)) = all.records.next_of(Kind::PairCopy, &mut at, end) {
        for one in all.records.of(Kind::Socket).filter(|one| one.a == copy.a || one.a == copy.b) {
            let new = if one.a == copy.a { copy.c } else { copy.d };
            _ = sys::replace(new as i32, one.fd);
            _ = sys::set_flags(one.fd, one.d as u32 as usize);
        }
        sys::close(copy.c as i32);
        sys::close(copy.d as i32);
        all.records.set(index, Record { kind: 0, ..copy });
    }
}

/// In the frozen process: a socket that is closed must not accept connections any more, nor keep its address.
pub(crate) fn give_up(all: &Inventory, null: i32) {
    for kind in [Kind::Listener, Kind::Bound] {
        for one in all.records.of(kind) {
            _ = sys::replace(null, one.fd);
        }
    }
}

pub(crate) fn mend(line: &mut Line<'_>) {
    let end = line.all.records.count();
    for kind in [Kind::Listener, Kind::Bound] {
        let mut at = 0;
        while let Some((index, one)) = line.all.records.next_of(kind, &mut at, end) {
            let first = line.all.records.before(index, kind).find(|other| other.a == one.a);
            if let Some(first) = first {
                _ = sys::replace(first.fd, one.fd);
                continue;
            }
            let Some(made) = Made::of(line.all.records.text(&one)) else {
                line.lost(Kind::LostDescriptor, one.fd, sys::ENOMEM as u64, &[]);
                continue;
            };
            make_anew(line, kind, one.fd, &made);
        }
    }
    let mut at = 0;
    while let Some((_, one)) = line.all.records.next_of(Kind::Socket, &mut at, end) {
        if one.b == 0 {
            line.lost(Kind::LostSocket, one.fd, 0, &[]);
        }
    }
}

fn make_anew(line: &mut Line<'_>, kind: Kind, fd: i32, made: &Made) {
    let new = match made.socket() {
        Ok(new) => new,
        Err(error) => return line.lost(Kind::LostDescriptor, fd, error as u64, &[]),
    };
    // In a branch the parent has the address.
    let taken = if line.is_branch { Err(0) } else { made.take_address(new) };
    match (kind, taken) {
        (Kind::Bound, Ok(())) if made.kind != SOCK_STREAM => line.lost(Kind::LostDatagrams, fd, 0, &[]),
        (_, Ok(())) => {}
        (Kind::Bound, Err(error)) => line.lost(Kind::LostAddress, fd, error as u64, &[]),
        (_, Err(error)) => {
            line.lost(Kind::LostListener, fd, error as u64, &[]);
            return sys::close(new);
        }
    }
    _ = sys::replace(new, fd);
    sys::close(new);
}

impl Made {
    fn of(bytes: &[u8]) -> Option<Made> {
        if bytes.len() != size_of::<Made>() {
            return None;
        }
        // SAFETY: `look` has written such a value, of plain numbers.
        Some(unsafe { bytes.as_ptr().cast::<Made>().read_unaligned() })
    }

    /// Such a socket, without its address.
    fn socket(&self) -> sys::Result<i32> {
        let new = sys::socket(self.domain as usize, self.kind as usize, self.protocol as usize)?;
        let mut made = sys::set_flags(new, self.flags as usize);
        for (value, (level, name)) in self.options.iter().zip(OPTIONS).filter(|(value, _)| **value > 0) {
            made = made.and_then(|_| sys::set_option(new, level, name, &(value - 1).to_le_bytes()));
        }
        made.map(|_| new).inspect_err(|_| sys::close(new))
    }

    fn take_address(&self, new: i32) -> sys::Result<()> {
        let address = &self.address[..(self.length as usize).min(ADDRESS)];
        if self.domain == AF_UNIX {
            make_way(address)?;
        }
        sys::bind(new, address)?;
        if self.backlog > 0 {
            sys::listen(new, self.backlog as usize)?;
        }
        Ok(())
    }
}

/// The name of a Unix socket stays when its process ends: it is taken away, unless something else has taken its place.
fn make_way(address: &[u8]) -> sys::Result<()> {
    const EADDRINUSE: i32 = 98;
    let mut path = [0; ADDRESS];
    let name = address.get(2..).unwrap_or(&[]);
    if name.first().is_none_or(|byte| *byte == 0) {
        return Ok(()); // abstract, or none
    }
    path[..name.len()].copy_from_slice(name);
    let Ok(path) = core::ffi::CStr::from_bytes_until_nul(&path) else { return Err(EADDRINUSE) };
    if !path.to_bytes().starts_with(b"/") {
        return Err(EADDRINUSE); // of the working directory of that time
    }
    const O_PATH_NOFOLLOW: usize = 0o10_000_000 | 0o400_000;
    let Ok(there) = sys::open(path, O_PATH_NOFOLLOW) else { return Ok(()) };
    let is_socket = sys::fstat(there).is_ok_and(|stat| stat.mode & sys::S_IFMT == sys::S_IFSOCK);
    sys::close(there);
    if !is_socket {
        return Err(EADDRINUSE);
    }
    sys::unlink(path).map(|_| ())
}
