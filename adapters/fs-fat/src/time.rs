//! FAT's dates and times: two-second steps from 1980 to 2107, in the local time of whoever wrote them. Nobody says which
//! zone that was, so they are read and written as UTC (fatgen103, "Date and Time Formats").

const DAY: i64 = 86_400;
/// 1980-01-01.
const FIRST: i64 = 3652 * DAY;
/// 2107-12-31 23:59:58.
const LAST: i64 = 50_404 * DAY - 2;

/// Days before each month of a common year, and all of its days.
const MONTHS: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to a year's first day.
fn days_before(year: i64) -> i64 {
    let past = year - 1;
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(past) - leaps(1969)
}

/// Days before a month, counted from 0.
fn month_start(month: usize, year: i64) -> i64 {
    let days = MONTHS.get(month).copied().unwrap_or(365);
    days + i64::from(month > 1 && is_leap(year))
}

/// Seconds since 1970; values out of range are taken to their nearest day.
pub fn to_unix(date: u64, time: u64) -> i64 {
    let year = 1980 + (date >> 9 & 0x7f) as i64;
    let month = (date >> 5 & 0xf).clamp(1, 12) as usize - 1;
    let day = (date & 0x1f).max(1) as i64 - 1;
    let clock = (time >> 11 & 0x1f) * 3600 + (time >> 5 & 0x3f) * 60 + (time & 0x1f) * 2;
    (days_before(year) + month_start(month, year) + day) * DAY + clock as i64
}

/// Date and time; what lies outside of FAT's years becomes their first or last moment.
pub fn from_unix(seconds: i64) -> (u16, u16) {
    let seconds = seconds.clamp(FIRST, LAST);
    let (days, clock) = (seconds / DAY, seconds % DAY);
    let year = (1980..2108).rev().find(|year| days_before(*year) <= days).unwrap_or(1980);
    let rest = days - days_before(year);
    let month = (0..12).rev().find(|month| month_start(*month, year) <= rest).unwrap_or(0);
    let day = rest - month_start(month, year) + 1;
    let date = (year - 1980) << 9 | (month as i64 + 1) << 5 | day;
    let time = (clock / 3600) << 11 | (clock / 60 % 60) << 5 | (clock % 60 / 2);
    (date as u16, time as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_date_1_says() {
        for (seconds, date, time) in [
            (315_532_800, 0x0021, 0),                                        // 1980-01-01 00:00:00
            (951_826_554, 20 << 9 | 2 << 5 | 29, 12 << 11 | 15 << 5 | 27),   // 2000-02-29 12:15:54
            (1_790_000_000, 46 << 9 | 9 << 5 | 21, 14 << 11 | 13 << 5 | 10), // 2026-09-21 14:13:20
            (4_354_819_198, 127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29), // 2107-12-31 23:59:58
        ] {
            assert_eq!(from_unix(seconds), (date, time), "{seconds}");
            assert_eq!(to_unix(date.into(), time.into()), seconds);
        }
        assert_eq!(from_unix(i64::MIN), (0x0021, 0));
        assert_eq!(from_unix(i64::MAX), from_unix(LAST));
        assert_eq!(to_unix(0, 0), 315_532_800);
        for day in 0..46_000 {
            let seconds = FIRST + day * DAY + 43_210;
            let (date, time) = from_unix(seconds);
            assert_eq!(to_unix(date.into(), time.into()), seconds);
        }
    }
}
