//! Part buffers, used again. A fresh 8 MiB allocation is 2,048 page faults; a pool of as many
//! buffers as there are parts in flight pays for them once.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// A bounded pool of buffers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Buffers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // INVARIANT: the capacities in `idle` add up to at most `idle_bytes_max`.
    idle: Mutex<Vec<Vec<u8>>>,
    idle_bytes_max: usize,
}

impl Buffers {
    /// Keeps idle buffers up to so many bytes in all; further ones are freed when they return.
    pub fn new(idle_bytes_max: usize) -> Buffers {
        Buffers { inner: Arc::new(Inner { idle: Mutex::new(Vec::new()), idle_bytes_max }) }
    }

    /// A buffer of this length. Its contents are whatever was in it: overwrite all of it.
    pub fn take(&self, len: usize) -> Buffer {
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that fits without waste: a small manifest must not walk off with the buffer
        // of a large part.
        let fitting = idle
            .iter()
            .enumerate()
            .filter(|(_, buffer)| buffer.capacity() >= len && buffer.capacity() / 4 <= len)
            .min_by_key(|(_, buffer)| buffer.capacity())
            .map(|(index, _)| index);
        let reused = fitting.map(|index| idle.swap_remove(index));
        drop(idle);
        let bytes = match reused {
            Some(mut bytes) => {
                bytes.resize(len, 0);
                bytes
            }
            None => vec![0; len],
        };
        Buffer { bytes, home: Some(Arc::clone(&self.inner)) }
    }
}

/// A buffer that returns to its pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Option<Arc<Inner>>,
}

impl Buffer {
    /// Shortens it.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// To send it without a copy; it returns to its pool when the last clone is dropped.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let mut idle = home.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = idle.iter().map(Vec::capacity).sum();
        if kept + self.bytes.capacity() <= home.idle_bytes_max {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(pool: &Buffers) -> Vec<usize> {
        pool.inner.idle.lock().expect("lock").iter().map(Vec::capacity).collect()
    }

    #[test]
    fn buffers_come_back_from_the_last_clone() {
        let pool = Buffers::new(10_000);
        let mut buffer = pool.take(4000);
        buffer.fill(7);
        let address = buffer.as_ptr();
        let bytes = buffer.into_bytes();
        let clone = bytes.slice(10..20);
        drop(bytes);
        assert!(idle(&pool).is_empty());
        drop(clone);
        assert_eq!(idle(&pool), [4000]);
        assert_eq!(pool.take(3000).as_ptr(), address, "the same memory");
    }

    #[test]
    fn the_pool_is_bounded_and_small_requests_leave_large_buffers_alone() {
        let pool = Buffers::new(10_000);
        drop((pool.take(6000), pool.take(6000), pool.take(3000)));
        assert_eq!(idle(&pool).iter().sum::<usize>(), 9000);
        let small = pool.take(10);
        assert_eq!(small.bytes.capacity(), 10);
        assert_eq!(idle(&pool).len(), 2);
    }
}
