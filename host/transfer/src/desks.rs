//! The desks that chunks lie on between being read and being written: as many as fit into the memory, made when first needed.

use crate::engine::lock;
use crate::layout::Shape;
use crate::read::Desk;
use crate::{Error, Result};
use std::sync::{Condvar, Mutex, PoisonError};

struct Stock {
    free: Vec<Desk>,
    /// How many may still be made.
    left: usize,
    closed: bool,
}

pub(crate) struct Desks {
    stock: Mutex<Stock>,
    returned: Condvar,
}

impl Desks {
    pub fn new(most: usize) -> Self {
        let stock = Stock { free: Vec::new(), left: most, closed: false };
        Self { stock: Mutex::new(stock), returned: Condvar::new() }
    }

    /// Waits for a desk; none once the desks are closed.
    pub fn take(&self, shape: &Shape) -> Result<Option<Desk>> {
        let mut stock = lock(&self.stock);
        loop {
            if stock.closed {
                return Ok(None);
            }
            if let Some(desk) = stock.free.pop() {
                return Ok(Some(desk));
            }
            if stock.left > 0 {
                stock.left -= 1;
                drop(stock);
                let made = Desk::new(shape).map_err(|e| Error::io("cannot set up a compressor", e))?;
                return Ok(Some(made));
            }
            stock = self.returned.wait(stock).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn put(&self, desk: Desk) {
        lock(&self.stock).free.push(desk);
        self.returned.notify_one();
    }

    /// Nobody gets one any more, and nobody waits.
    pub fn close(&self) {
        lock(&self.stock).closed = true;
        self.returned.notify_all();
    }
}
