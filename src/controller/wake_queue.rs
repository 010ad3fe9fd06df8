//! A queue of objects that are to be reconciled again. Each object is in it at most once, so it is never longer than there are objects,
//! however often they are woken.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures::Stream;
use parking_lot::Mutex;

/// Both ends of a queue of objects.
#[must_use]
pub fn wake_queue<T>() -> (WakeSender<T>, WakeStream<T>) {
    let queue = Arc::new(Mutex::new(Queue { order: VecDeque::new(), queued: HashSet::new(), closed: false, waker: None }));
    (WakeSender(queue.clone()), WakeStream(queue))
}

/// The sending end. When it is dropped, the stream yields what is left, and ends.
pub struct WakeSender<T>(Arc<Mutex<Queue<T>>>);

/// The receiving end: objects in the order in which they were woken first.
pub struct WakeStream<T>(Arc<Mutex<Queue<T>>>);

struct Queue<T> {
    order: VecDeque<T>,
    /// What is in `order`.
    queued: HashSet<T>,
    closed: bool,
    waker: Option<Waker>,
}

impl<T: Clone + Eq + Hash> WakeSender<T> {
    /// Has an object reconciled again. An object that was already handed out is queued once more: its reconcile may have read it before the
    /// change.
    pub fn wake(&self, object: T) {
        let mut queue = self.0.lock();
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

impl<T> Drop for WakeSender<T> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T: Eq + Hash> Stream for WakeStream<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut queue = self.0.lock();
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
    fn object_that_is_woken_again_is_queued_once_and_keeps_its_place() {
        let (wakes, mut woken) = wake_queue();
        for object in ["a", "b", "a", "c", "b"] {
            wakes.wake(object);
        }
        assert_eq!(wakes.0.lock().order.len(), 3);
        let mut next = || woken.next().now_or_never();
        assert_eq!([next(), next(), next()], [Some(Some("a")), Some(Some("b")), Some(Some("c"))]);
        assert_eq!(next(), None, "nothing is left, and more may come");
    }

    #[test]
    fn object_that_was_handed_out_is_queued_again() {
        let (wakes, mut woken) = wake_queue();
        wakes.wake("a");
        assert_eq!(woken.next().now_or_never(), Some(Some("a")));
        wakes.wake("a");
        assert_eq!(woken.next().now_or_never(), Some(Some("a")));
        assert_eq!(woken.next().now_or_never(), None);
    }

    #[test]
    fn stream_without_its_sender_ends_after_the_rest() {
        let (wakes, mut woken) = wake_queue();
        wakes.wake("a");
        drop(wakes);
        assert_eq!(woken.next().now_or_never(), Some(Some("a")));
        assert_eq!(woken.next().now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn waiting_stream_is_woken_by_an_object_and_by_the_end() {
        let (wakes, mut woken) = wake_queue();
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
    async fn object_that_is_woken_while_others_are_handed_out_is_not_lost() {
        const OBJECTS: usize = 50;
        let news: Arc<Vec<AtomicBool>> = Arc::new((0..OBJECTS).map(|_| AtomicBool::new(false)).collect());
        let (wakes, mut woken) = wake_queue();
        let changed = news.clone();
        let sender = tokio::task::spawn_blocking(move || {
            for round in 0..20_000 {
                changed[round * 7 % OBJECTS].store(true, Ordering::SeqCst);
                wakes.wake(round * 7 % OBJECTS);
            }
        });
        while let Some(object) = woken.next().await {
            news[object].store(false, Ordering::SeqCst);
        }
        sender.await.unwrap();
        assert!(news.iter().all(|news| !news.load(Ordering::SeqCst)), "an object was not handed out after its last change");
    }
}
