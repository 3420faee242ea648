// SPDX-License-Identifier: Apache-2.0

/// ISO text form of `timestamptz`, to and from microseconds since 1970-01-01 00:00 UTC (proleptic Gregorian calendar).
enum TimestampText {
    private static let microsecondsPerDay: Int64 = 86_400_000_000

    static func format(microseconds: Int64) -> String {
        let days = floorDivide(microseconds, microsecondsPerDay)
        let time = microseconds - days * microsecondsPerDay
        let (year, month, day) = date(fromDays: days)
        let seconds = time / 1_000_000
        let clock = [seconds / 3600, seconds / 60 % 60, seconds % 60].map { pad($0, 2) }.joined(separator: ":")
        let fraction = pad(time % 1_000_000, 6)
        // The era is written out: the year before 1 is 1 BC.
        let shownYear = pad(year > 0 ? year : 1 - year, 4)
        return "\(shownYear)-\(pad(month, 2))-\(pad(day, 2)) \(clock).\(fraction)+00" + (year > 0 ? "" : " BC")
    }

    /// Nil where `text` is not such a timestamp; `infinity` is not one.
    static func parse(_ text: String) -> Int64? {
        var fields = text.split(separator: " ")
        let beforeChrist = fields.last == "BC"
        if beforeChrist { fields.removeLast() }
        guard fields.count == 2 else { return nil }
        let calendar = fields[0].split(separator: "-").compactMap { Int64($0) }
        guard calendar.count == 3, let sign = fields[1].lastIndex(where: { $0 == "+" || $0 == "-" }) else { return nil }
        guard let time = clock(fields[1][..<sign]), let zone = clock(fields[1][fields[1].index(after: sign)...])
        else { return nil }
        let year = beforeChrist ? 1 - calendar[0] : calendar[0]
        // PostgreSQL's years end before 294277, so none of this overflows for what it prints.
        guard (-5000...300_000).contains(year), (1...12).contains(calendar[1]), (1...31).contains(calendar[2])
        else { return nil }
        let offset = fields[1][sign] == "+" ? zone : -zone
        let days = days(year: year, month: calendar[1], day: calendar[2])
        let (total, overflow) = days.multipliedReportingOverflow(by: microsecondsPerDay)
        return overflow ? nil : total.addingReportingOverflow(time - offset).partialValue
    }

    /// `hh[:mm[:ss[.ffffff]]]` in microseconds.
    private static func clock(_ text: Substring) -> Int64? {
        let halves = text.split(separator: ".", maxSplits: 1)
        let parts = (halves.first ?? "").split(separator: ":")
        guard (1...3).contains(parts.count) else { return nil }
        var seconds: Int64 = 0
        for index in 0..<3 {
            guard index < parts.count else { seconds *= 60; continue }
            guard parts[index].count <= 2, let part = Int64(parts[index]), part >= 0 else { return nil }
            seconds = seconds * 60 + part
        }
        guard halves.count == 2 else { return seconds * 1_000_000 }
        let digits = halves[1]
        guard (1...6).contains(digits.count), let fraction = Int64(digits), fraction >= 0 else { return nil }
        return seconds * 1_000_000 + (0..<(6 - digits.count)).reduce(fraction) { value, _ in value * 10 }
    }

    /// Days since 1970-01-01, counted in eras of 400 years that begin on 1 March.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month > 2 ? year : year - 1
        let era = floorDivide(shifted, 400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func date(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = floorDivide(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
        value / divisor - (value % divisor < 0 ? 1 : 0)
    }

    private static func pad(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
