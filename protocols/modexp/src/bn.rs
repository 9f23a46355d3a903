//! Owning handles of AWS-LC's big numbers, with the few operations that are needed.

use std::os::raw::c_int;
use std::ptr::{self, NonNull};

use aws_lc_sys as sys;

/// 1 is success in the whole big-number interface.
fn ok(result: c_int) -> Option<()> {
    (result == 1).then_some(())
}

/// One number; erased when dropped.
pub(crate) struct Bn(NonNull<sys::BIGNUM>);

// SAFETY: a number is owned memory without thread affinity.
unsafe impl Send for Bn {}
// SAFETY: every function called through `&Bn` takes a const pointer and leaves the number alone.
unsafe impl Sync for Bn {}

impl Bn {
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: no arguments; null is checked.
        NonNull::new(unsafe { sys::BN_new() }).map(Self)
    }

    pub(crate) fn from_be(bytes: &[u8]) -> Option<Self> {
        // SAFETY: pointer and length are of one slice; a null third argument asks for a new number.
        NonNull::new(unsafe { sys::BN_bin2bn(bytes.as_ptr(), bytes.len(), ptr::null_mut()) })
            .map(Self)
    }

    pub(crate) fn copy(&self) -> Option<Self> {
        // SAFETY: the source is a live number.
        NonNull::new(unsafe { sys::BN_dup(self.0.as_ptr()) }).map(Self)
    }

    pub(crate) fn set_le(&mut self, bytes: &[u8]) -> Option<()> {
        // SAFETY: pointer and length are of one slice, the target is a live number.
        let r = unsafe { sys::BN_le2bn(bytes.as_ptr(), bytes.len(), self.0.as_ptr()) };
        (!r.is_null()).then_some(())
    }

    pub(crate) fn to_be(&self, len: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; len];
        // SAFETY: `out` has `len` bytes; a number that does not fit is an error.
        ok(unsafe { sys::BN_bn2bin_padded(out.as_mut_ptr(), len, self.0.as_ptr()) })?;
        Some(out)
    }

    pub(crate) fn to_le(&self, out: &mut [u8]) -> Option<()> {
        // SAFETY: pointer and length are of one slice.
        ok(unsafe { sys::BN_bn2le_padded(out.as_mut_ptr(), out.len(), self.0.as_ptr()) })
    }

    pub(crate) fn is_below(&self, other: &Self) -> bool {
        // SAFETY: both are live numbers.
        unsafe { sys::BN_ucmp(self.0.as_ptr(), other.0.as_ptr()) < 0 }
    }

    /// self = base ^ exponent, constant-time in the exponent's value.
    pub(crate) fn power(
        &mut self,
        base: &Self,
        exponent: &Self,
        modulus: &Self,
        ctx: &Ctx,
        mont: &Mont,
    ) -> Option<()> {
        // SAFETY: all are live, `mont` was made for `modulus`, `self` is borrowed exclusively.
        ok(unsafe {
            sys::BN_mod_exp_mont_consttime(
                self.0.as_ptr(),
                base.0.as_ptr(),
                exponent.0.as_ptr(),
                modulus.0.as_ptr(),
                ctx.0.as_ptr(),
                mont.0.as_ptr(),
            )
        })
    }

    /// self = a * b, all in Montgomery form.
    pub(crate) fn set_product(&mut self, a: &Self, b: &Self, mont: &Mont, ctx: &Ctx) -> Option<()> {
        // SAFETY: all are live; `self` is borrowed exclusively.
        ok(unsafe {
            sys::BN_mod_mul_montgomery(
                self.0.as_ptr(),
                a.0.as_ptr(),
                b.0.as_ptr(),
                mont.0.as_ptr(),
                ctx.0.as_ptr(),
            )
        })
    }

    pub(crate) fn enter_montgomery(&mut self, mont: &Mont, ctx: &Ctx) -> Option<()> {
        let p = self.0.as_ptr();
        // SAFETY: all are live; the function allows its result to be its argument.
        ok(unsafe { sys::BN_to_montgomery(p, p, mont.0.as_ptr(), ctx.0.as_ptr()) })
    }

    pub(crate) fn leave_montgomery(&mut self, mont: &Mont, ctx: &Ctx) -> Option<()> {
        let p = self.0.as_ptr();
        // SAFETY: all are live; the function allows its result to be its argument.
        ok(unsafe { sys::BN_from_montgomery(p, p, mont.0.as_ptr(), ctx.0.as_ptr()) })
    }
}

impl Drop for Bn {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { sys::BN_clear_free(self.0.as_ptr()) }
    }
}

/// Scratch numbers of one computation.
pub(crate) struct Ctx(NonNull<sys::BN_CTX>);

impl Ctx {
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: no arguments; null is checked.
        NonNull::new(unsafe { sys::BN_CTX_new() }).map(Self)
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { sys::BN_CTX_free(self.0.as_ptr()) }
    }
}

/// What Montgomery multiplication precomputes for a modulus.
pub(crate) struct Mont(NonNull<sys::BN_MONT_CTX>);

// SAFETY: owned memory without thread affinity, read only after construction.
unsafe impl Send for Mont {}
// SAFETY: every use passes a const pointer.
unsafe impl Sync for Mont {}

impl Mont {
    pub(crate) fn new(modulus: &Bn, ctx: &Ctx) -> Option<Self> {
        // SAFETY: both are live; null is checked.
        NonNull::new(unsafe {
            sys::BN_MONT_CTX_new_for_modulus(modulus.0.as_ptr(), ctx.0.as_ptr())
        })
        .map(Self)
    }
}

impl Drop for Mont {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { sys::BN_MONT_CTX_free(self.0.as_ptr()) }
    }
}
