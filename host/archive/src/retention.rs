//! Which snapshots stay: rules as other backup tools have them, for each machine by itself. Periods are those of UTC.

use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};

/// How many to keep by each rule; a snapshot stays if one rule wants it.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// The newest.
    pub last: usize,
    /// The newest of each of the newest hours that have one.
    pub hourly: usize,
    /// The same by days.
    pub daily: usize,
    /// By ISO weeks, which begin on Monday.
    pub weekly: usize,
    /// By months.
    pub monthly: usize,
    /// By years.
    pub yearly: usize,
    /// Whatever has one of these tags.
    pub tags: Vec<String>,
}

/// Year, month and day of the month of a day since 1970-01-01, in the proleptic Gregorian calendar: days are counted from 1 March of
/// year 0, so that the leap day is a year's last.
pub fn date(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let year = era * 400 + year_of_era;
    let day = of_year - (153 * month + 2) / 5 + 1;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

impl Retention {
    /// Whether any rule is given: without one nothing is removed.
    pub fn is_empty(&self) -> bool {
        let Self { last, hourly, daily, weekly, monthly, yearly, tags } = self;
        last + hourly + daily + weekly + monthly + yearly == 0 && tags.is_empty()
    }

    /// Ids of the snapshots that go.
    pub fn superfluous(&self, snapshots: &[Snapshot]) -> Vec<String> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut machines: BTreeMap<&str, Vec<&Snapshot>> = BTreeMap::new();
        for snapshot in snapshots {
            machines.entry(&snapshot.machine).or_default().push(snapshot);
        }
        let mut keep = BTreeSet::new();
        for list in machines.values_mut() {
            list.sort_by(|a, b| b.order().cmp(&a.order()));
            self.keep(list, &mut keep);
        }
        snapshots.iter().filter(|each| !keep.contains(each.id.as_str())).map(|each| each.id.clone()).collect()
    }

    /// `list` is one machine's, the newest first.
    fn keep<'a>(&self, list: &[&'a Snapshot], keep: &mut BTreeSet<&'a str>) {
        let day = |time: u64| time / 86_400;
        let month = |time: u64| {
            let (year, month, _) = date(day(time));
            year * 12 + month
        };
        let periods: [(usize, &dyn Fn(u64) -> u64); 6] = [
            (self.last, &|_| 0),
            (self.hourly, &|time| time / 3600),
            (self.daily, &day),
            // 1970-01-01 was a Thursday.
            (self.weekly, &|time| (day(time) + 3) / 7),
            (self.monthly, &month),
            (self.yearly, &|time| date(day(time)).0),
        ];
        for (number, (count, period)) in periods.iter().enumerate() {
            let mut seen = BTreeSet::new();
            let mut kept = 0;
            for each in list {
                let fresh = number == 0 || seen.insert(period(each.time));
                if fresh && kept < *count {
                    keep.insert(&each.id);
                    kept += 1;
                }
            }
        }
        let tagged = list.iter().filter(|each| each.tags.iter().any(|tag| self.tags.contains(tag)));
        keep.extend(tagged.map(|each| each.id.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of a date; checked against date(1).
    const TIMES: [(&str, u64); 7] = [
        ("2024-02-29 12:00", 1_709_208_000),
        ("2024-03-01 00:00", 1_709_251_200),
        ("2024-12-29 12:00", 1_735_473_600),
        ("2024-12-30 12:00", 1_735_560_000),
        ("2025-01-01 01:10", 1_735_693_800),
        ("2025-01-01 01:50", 1_735_696_200),
        ("2025-01-01 02:00", 1_735_696_800),
    ];

    fn snapshots() -> Vec<Snapshot> {
        let make = |(id, time): &(&str, u64)| Snapshot {
            id: (*id).into(),
            time: *time,
            nanoseconds: 0,
            machine: "m".into(),
            tags: if *time == TIMES[0].1 { vec!["gold".into()] } else { Vec::new() },
            parent: None,
            origin: None,
            disks: Vec::new(),
            description: serde_json::Value::Null,
            added: crate::Added::default(),
        };
        TIMES.iter().map(make).collect()
    }

    fn kept(rules: &Retention) -> Vec<usize> {
        let gone = rules.superfluous(&snapshots());
        (0..TIMES.len()).filter(|at| !gone.contains(&TIMES[*at].0.to_owned())).collect()
    }

    #[test]
    fn days_have_dates() {
        let days = TIMES.map(|(_, time)| date(time / 86_400));
        for ((said, _), (year, month, day)) in TIMES.iter().zip(days) {
            assert!(said.starts_with(&format!("{year}-{month:02}-{day:02}")), "{said}");
        }
        assert_eq!(date(0), (1970, 1, 1));
    }

    #[test]
    fn rules_keep_the_newest_of_each_period() {
        let none = Retention::default();
        assert_eq!(kept(&none).len(), TIMES.len());
        assert_eq!(kept(&Retention { last: 2, ..none.clone() }), [5, 6]);
        assert_eq!(kept(&Retention { hourly: 2, ..none.clone() }), [5, 6]);
        assert_eq!(kept(&Retention { daily: 3, ..none.clone() }), [2, 3, 6]);
        // 2024-12-30 was a Monday.
        assert_eq!(kept(&Retention { weekly: 9, ..none.clone() }), [1, 2, 6]);
        assert_eq!(kept(&Retention { monthly: 3, ..none.clone() }), [1, 3, 6]);
        assert_eq!(kept(&Retention { monthly: 9, ..none.clone() }), [0, 1, 3, 6]);
        assert_eq!(kept(&Retention { yearly: 9, ..none.clone() }), [3, 6]);
        assert_eq!(kept(&Retention { last: 1, tags: vec!["gold".into()], ..none }), [0, 6]);
    }

    #[test]
    fn machines_have_rules_of_their_own() {
        let mut list = snapshots();
        list[0].machine = "other".into();
        let gone = Retention { last: 1, ..Retention::default() }.superfluous(&list);
        assert!(!gone.contains(&TIMES[0].0.into()) && gone.len() == TIMES.len() - 2);
    }
}
