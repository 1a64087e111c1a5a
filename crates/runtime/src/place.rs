//! Values made where they stay.

/// Makes a value in a box. The box is there before the value, and nothing can fail between the two, so that the compiler
/// writes what there is of the value straight to it: a future of some kilobytes is little more than its arguments when it
/// begins, and moving all of it is time.
#[inline(always)]
pub fn boxed<T>(make: impl FnOnce() -> T) -> Box<T> {
    Box::write(Box::new_uninit(), make())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_in_the_box() {
        let made = boxed(|| [7_u8; 4096]);
        assert_eq!(*made, [7; 4096]);
    }
}
