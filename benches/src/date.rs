//! Dates as HTTP writes them, `Sun, 06 Nov 1994 08:49:37 GMT`, formatted once a second.

use rustix::time::{ClockId, clock_gettime};

/// The current date, as of the last `refresh`.
pub struct Date {
    second: i64,
    text: String,
}

impl Date {
    pub fn now() -> Date {
        let second = now();
        Date {
            second,
            text: format(second),
        }
    }

    /// Reads the clock, which needs no system call, and formats the date if it is another.
    pub fn refresh(&mut self) {
        let second = now();
        if second != self.second {
            self.second = second;
            self.text = format(second);
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn now() -> i64 {
    clock_gettime(ClockId::RealtimeCoarse).tv_sec
}

fn format(second: i64) -> String {
    let (days, second) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    // The first of January 1970 was a Thursday.
    let weekday = WEEKDAYS[(days + 4).rem_euclid(7) as usize];
    let month = MONTHS[month as usize - 1];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Year, month and day of the day that is `days` after the first of January 1970. Years are counted
/// from March on, so that a leap day is a year's last, in eras of 400.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_UNTIL_1970;
    let (era, day) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAYS_PER_ERA: i64 = 146_097;

/// From the first of March of the year 0.
const DAYS_UNTIL_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_and_ends_of_years_are_not_off_by_one() {
        for (second, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(format(second), date);
        }
    }
}
