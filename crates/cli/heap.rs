//! Memory for a short command, without asking the kernel for it.
//!
//! musl's allocator takes pages from the kernel for each size of object, with a call for each, and gives
//! them back at once: half of the calls that a command made, and a third of the pages that it touched. Here
//! small objects come from a place in the program itself, where they lie side by side, for as long as there
//! is room; all others come from musl, with which a daemon's memory stays small.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::UnsafeCell,
    fmt,
    ptr::{self, NonNull},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicPtr, Ordering},
    },
};

use dlmalloc::{Allocator, Dlmalloc};

/// Bytes of the place: commands need some 300 KiB of it.
const SIZE: usize = 512 << 10;
/// Longest object in bytes that finds room there. Longer ones are few, and the kernel has zeros for them
/// that need not be written.
const LONGEST: usize = 32 << 10;

/// Where small objects lie. It takes no room in the program's file.
#[repr(align(4096))]
pub(crate) struct Place(UnsafeCell<[u8; SIZE]>);

// SAFETY: only the one heap that has it touches it, under that heap's lock.
unsafe impl Sync for Place {}

impl Place {
    #[cfg(target_env = "musl")]
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new([0; SIZE]))
    }
}

/// What `dlmalloc` takes for the kernel: it gives the place, once, and nothing after that.
struct Once(AtomicPtr<u8>);

// SAFETY: the memory that it gives lives as long as the program and is nobody else's.
unsafe impl Allocator for Once {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size > SIZE {
            return (ptr::null_mut(), 0, 0);
        }
        (self.0.swap(ptr::null_mut(), Ordering::Relaxed), SIZE, 0)
    }

    fn remap(&self, _start: *mut u8, _old: usize, _new: usize, _can_move: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _start: *mut u8, _old: usize, _new: usize) -> bool {
        false
    }

    fn free(&self, _start: *mut u8, _size: usize) -> bool {
        false
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        false
    }

    fn page_size(&self) -> usize {
        4096
    }
}

/// The allocator, for `#[global_allocator]`.
pub(crate) struct Heap {
    place: &'static Place,
    small: Mutex<Dlmalloc<Once>>,
}

impl fmt::Debug for Heap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Heap").finish_non_exhaustive()
    }
}

impl Heap {
    /// # Safety
    /// The place must be no other heap's.
    pub(crate) const unsafe fn new(place: &'static Place) -> Self {
        let once = Once(AtomicPtr::new(place.0.get().cast()));
        Self { place, small: Mutex::new(Dlmalloc::new_with_allocator(once)) }
    }

    fn has(&self, object: *mut u8) -> bool {
        object.addr().wrapping_sub(self.place.0.get().addr()) < SIZE
    }

    /// Does this in the place, if the object is small, there is room and nobody else is at it.
    fn find_room(
        &self,
        layout: Layout,
        take: impl FnOnce(&mut Dlmalloc<Once>) -> *mut u8,
    ) -> Option<NonNull<u8>> {
        if layout.size() > LONGEST {
            return None;
        }
        self.small.try_lock().ok().and_then(|mut small| NonNull::new(take(&mut small)))
    }

    fn small(&self) -> MutexGuard<'_, Dlmalloc<Once>> {
        self.small.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: an object goes back to where it came from, as its address tells, with the layout that it was made
// with; what each of the two gives fulfils the contract.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: an object of no size is never asked for, here and below.
        let take =
            |small: &mut Dlmalloc<Once>| unsafe { small.malloc(layout.size(), layout.align()) };
        match self.find_room(layout, take) {
            Some(object) => object.as_ptr(),
            // SAFETY: as above.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let take =
            |small: &mut Dlmalloc<Once>| unsafe { small.calloc(layout.size(), layout.align()) };
        match self.find_room(layout, take) {
            Some(object) => object.as_ptr(),
            // SAFETY: as in `alloc`.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        match self.has(object) {
            // SAFETY: it came from there, with this layout.
            true => unsafe { self.small().free(object, layout.size(), layout.align()) },
            // SAFETY: as above.
            false => unsafe { System.dealloc(object, layout) },
        }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.has(object) {
            // SAFETY: it came from there, with this layout.
            return unsafe { System.realloc(object, layout, size) };
        }
        if size <= LONGEST {
            // SAFETY: as above; where there is no room the object stays as it was.
            let moved =
                unsafe { self.small().realloc(object, layout.size(), layout.align(), size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the alignment is that of a layout, and the caller vouches for the size.
        let layout_after = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: both objects are at least as long as what is copied, and the old one is not used again.
        unsafe {
            let moved = System.alloc(layout_after);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(object, moved, layout.size().min(size));
                self.dealloc(object, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
#[expect(clippy::undocumented_unsafe_blocks, reason = "whether it is safe is what they test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heap() -> &'static Heap {
        // The place is too large for the stack, and is all zeros.
        let place = unsafe { System.alloc_zeroed(Layout::new::<Place>()) }.cast::<Place>();
        Box::leak(Box::new(unsafe { Heap::new(&*place) }))
    }

    /// An object that knows what it holds.
    struct Object {
        start: *mut u8,
        layout: Layout,
        fill: u8,
    }

    impl Object {
        fn new(heap: &Heap, layout: Layout, fill: u8, zeroed: bool) -> Self {
            let start =
                unsafe { if zeroed { heap.alloc_zeroed(layout) } else { heap.alloc(layout) } };
            assert!(!start.is_null());
            assert_eq!(start.addr() % layout.align(), 0);
            let own = Self { start, layout, fill };
            assert!(!zeroed || own.bytes().iter().all(|byte| *byte == 0));
            unsafe { start.write_bytes(fill, layout.size()) };
            own
        }

        fn bytes(&self) -> &[u8] {
            unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) }
        }

        fn check(&self) {
            assert!(self.bytes().iter().all(|byte| *byte == self.fill));
        }

        fn resize(&mut self, heap: &Heap, size: usize) {
            let old = self.layout;
            self.start = unsafe { heap.realloc(self.start, old, size) };
            assert!(!self.start.is_null());
            self.layout = Layout::from_size_align(old.size().min(size), old.align()).unwrap();
            self.check();
            self.layout = Layout::from_size_align(size, old.align()).unwrap();
            unsafe { self.start.write_bytes(self.fill, size) };
        }

        fn free(self, heap: &Heap) {
            self.check();
            unsafe { heap.dealloc(self.start, self.layout) };
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Make { size: usize, align: u32, zeroed: bool },
        Resize { which: usize, size: usize },
        Free { which: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let size = prop_oneof![4 => 1_usize..300, 2 => 1_usize..6000, 1 => 1..3 * LONGEST];
        let make = (size.clone(), 0_u32..8, any::<bool>())
            .prop_map(|(size, align, zeroed)| Step::Make { size, align, zeroed });
        let resize = (any::<usize>(), size).prop_map(|(which, size)| Step::Resize { which, size });
        let free = any::<usize>().prop_map(|which| Step::Free { which });
        proptest::collection::vec(prop_oneof![4 => make, 2 => resize, 2 => free], 1..400)
    }

    fn run(heap: &Heap, steps: Vec<Step>) {
        let mut objects: Vec<Object> = Vec::new();
        for (step, fill) in steps.into_iter().zip((1..=u8::MAX).cycle()) {
            match step {
                Step::Make { size, align, zeroed } => {
                    let layout = Layout::from_size_align(size, 1 << align).unwrap();
                    objects.push(Object::new(heap, layout, fill, zeroed));
                }
                Step::Resize { which, size } if !objects.is_empty() => {
                    let which = which % objects.len();
                    objects[which].resize(heap, size);
                }
                Step::Free { which } if !objects.is_empty() => {
                    let which = which % objects.len();
                    objects.swap_remove(which).free(heap);
                }
                Step::Resize { .. } | Step::Free { .. } => {}
            }
        }
        objects.into_iter().for_each(|object| object.free(heap));
    }

    proptest! {
        /// Objects are where nothing else is, hold what was written, and keep it where they move.
        #[test]
        fn objects_keep_what_they_hold(steps in steps()) {
            run(heap(), steps);
        }

        #[test]
        fn threads_do_not_meet(first in steps(), second in steps()) {
            let heap = heap();
            std::thread::scope(|scope| {
                scope.spawn(|| run(heap, first));
                run(heap, second);
            });
        }
    }

    #[test]
    fn small_objects_lie_in_the_place_until_it_is_full_and_again_when_there_is_room() {
        let heap = heap();
        let layout = Layout::from_size_align(1000, 8).unwrap();
        let large = Object::new(heap, Layout::from_size_align(LONGEST + 1, 8).unwrap(), 1, false);
        assert!(!heap.has(large.start));
        let mut objects = Vec::new();
        while objects.last().is_none_or(|last: &Object| heap.has(last.start)) {
            objects.push(Object::new(heap, layout, 7, false));
        }
        assert!((SIZE / 1100..SIZE / 1000).contains(&objects.len()), "{}", objects.len());
        // One that grows has no room there either, and moves away whole.
        let mut grown = objects.swap_remove(0);
        grown.resize(heap, 30_000);
        assert!(!heap.has(grown.start));
        let again = Object::new(heap, layout, 9, true);
        assert!(heap.has(again.start), "the room of the one that moved away");
        objects.extend([large, grown, again]);
        objects.into_iter().for_each(|object| object.free(heap));
        let whole = Object::new(heap, Layout::from_size_align(LONGEST, 8).unwrap(), 3, false);
        assert!(heap.has(whole.start));
        whole.free(heap);
    }
}
