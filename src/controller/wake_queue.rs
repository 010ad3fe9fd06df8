//! What is to be looked at again. Each object is in the queue at most once, so that the queue is never longer than there are objects,
//! however often they are woken.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::Stream;

/// Both ends of a queue of objects.
#[must_use]
pub fn wakes<T>() -> (Wakes<T>, Woken<T>) {
    let queue = Arc::new(Mutex::new(Queue { order: VecDeque::new(), queued: HashSet::new(), closed: false, waker: None }));
    (Wakes(queue.clone()), Woken(queue))
}

/// The end that objects are put in. When it is dropped, the other end hands out what is left, and ends.
pub struct Wakes<T>(Arc<Mutex<Queue<T>>>);

/// The end that objects come out of, in the order in which they were woken first.
pub struct Woken<T>(Arc<Mutex<Queue<T>>>);

struct Queue<T> {
    order: VecDeque<T>,
    /// What is in `order`.
    queued: HashSet<T>,
    closed: bool,
    waker: Option<Waker>,
}

fn lock<T>(queue: &Mutex<Queue<T>>) -> MutexGuard<'_, Queue<T>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Clone + Eq + Hash> Wakes<T> {
    /// Has an object looked at again. One that has been handed out already is handed out once more: whoever looks at it may have read
    /// what it looks like before that changed.
    pub fn wake(&self, object: T) {
        let mut queue = lock(&self.0);
        if queue.queued.insert(object.clone()) {
            queue.order.push_back(object);
        }
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Wakes<T> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.closed = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T: Eq + Hash> Stream for Woken<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut queue = lock(&self.0);
        match queue.order.pop_front() {
            Some(object) => {
                queue.queued.remove(&object);
                Poll::Ready(Some(object))
            }
            None if queue.closed => Poll::Ready(None),
            None => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::{FutureExt, StreamExt};

    use super::*;

    #[test]
    fn each_object_is_queued_once_and_keeps_its_place() {
        let (wakes, mut woken) = wakes();
        for object in ["a", "b", "a", "c", "b"] {
            wakes.wake(object);
        }
        assert_eq!(lock(&wakes.0).order.len(), 3);
        let mut next = || woken.next().now_or_never();
        assert_eq!([next(), next(), next()], [Some(Some("a")), Some(Some("b")), Some(Some("c"))]);
        assert_eq!(next(), None, "nothing is left, and more may come");
    }

    #[test]
    fn an_object_that_was_handed_out_can_be_woken_again() {
        let (wakes, mut woken) = wakes();
        wakes.wake("a");
        assert_eq!(woken.next().now_or_never(), Some(Some("a")));
        wakes.wake("a");
        assert_eq!(woken.next().now_or_never(), Some(Some("a")));
        assert_eq!(woken.next().now_or_never(), None);
    }

    #[test]
    fn the_stream_ends_after_what_is_left() {
        let (wakes, mut woken) = wakes();
        wakes.wake("a");
        drop(wakes);
        assert_eq!(woken.next().now_or_never(), Some(Some("a")));
        assert_eq!(woken.next().now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn a_stream_that_waits_is_woken_by_an_object_and_by_the_end() {
        let (wakes, mut woken) = wakes();
        let waits = tokio::spawn(async move {
            let first = woken.next().await;
            (first, woken.next().await)
        });
        tokio::task::yield_now().await;
        wakes.wake("a");
        tokio::task::yield_now().await;
        drop(wakes);
        assert_eq!(waits.await.unwrap(), (Some("a"), None));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn nothing_is_lost_while_others_are_handed_out() {
        const OBJECTS: usize = 50;
        let news: Arc<Vec<AtomicBool>> = Arc::new((0..OBJECTS).map(|_| AtomicBool::new(false)).collect());
        let (wakes, mut woken) = wakes();
        let told = news.clone();
        let tells = tokio::task::spawn_blocking(move || {
            for round in 0..20_000 {
                told[round * 7 % OBJECTS].store(true, Ordering::SeqCst);
                wakes.wake(round * 7 % OBJECTS);
            }
        });
        while let Some(object) = woken.next().await {
            news[object].store(false, Ordering::SeqCst);
        }
        tells.await.unwrap();
        assert!(news.iter().all(|news| !news.load(Ordering::SeqCst)), "somebody was not looked at after the last news");
    }
}
