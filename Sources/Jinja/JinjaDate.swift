// SPDX-License-Identifier: Apache-2.0

/// A date and time of day without a zone, for `strftime_now`: the proleptic Gregorian calendar.
public struct JinjaDate: Equatable, Sendable {
    private let days: Int
    private let secondOfDay: Int

    /// The moment so many seconds after 1 January 1970, 00:00 UTC. Years before 1 and after 9999 become these.
    public init(secondsSince1970 seconds: Int = 0) {
        let bounded = min(max(seconds, -62_135_596_800), 253_402_300_799)
        days = Int((Double(bounded) / 86_400).rounded(.down))
        secondOfDay = bounded - days * 86_400
    }

    /// Year, month from 1, day from 1 (H. Hinnant, “chrono-compatible low-level date algorithms”).
    private var civil: (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    private static let weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ]

    /// Formats as Python's `strftime` in the C locale; `%-d` leaves out padding, and an unknown directive stays.
    func formatted(_ format: String) -> String {
        var text = "", rest = Array(format.unicodeScalars)[...]
        while let scalar = rest.popFirst() {
            guard scalar == "%", let next = rest.first else {
                text.unicodeScalars.append(scalar)
                continue
            }
            rest.removeFirst()
            if next == "-", let letter = rest.first {
                rest.removeFirst()
                let padded = directive(letter) ?? "%-\(letter)"
                let bare = padded.drop { $0 == "0" || $0 == " " }
                text += bare.isEmpty && !padded.isEmpty ? "0" : String(bare)
            } else {
                text += directive(next) ?? "%\(next)"
            }
        }
        return text
    }

    private func directive(_ letter: Unicode.Scalar) -> String? {
        let (year, month, day) = civil
        // 1 January 1970 was a Thursday.
        let weekday = ((days + 3) % 7 + 7) % 7
        let hour = secondOfDay / 3600, minute = secondOfDay / 60 % 60, second = secondOfDay % 60
        switch letter {
        case "Y": return String(year)
        case "y": return Self.padded(year % 100, 2)
        case "C": return Self.padded(year / 100, 2)
        case "m": return Self.padded(month, 2)
        case "B": return Self.months[month - 1]
        case "b", "h": return String(Self.months[month - 1].prefix(3))
        case "d": return Self.padded(day, 2)
        case "e": return Self.padded(day, 2, " ")
        case "A": return Self.weekdays[weekday]
        case "a": return String(Self.weekdays[weekday].prefix(3))
        case "u": return String(weekday + 1)
        case "w": return String((weekday + 1) % 7)
        case "j": return Self.padded(dayOfYear(year, month, day), 3)
        case "H": return Self.padded(hour, 2)
        case "I": return Self.padded((hour + 11) % 12 + 1, 2)
        case "M": return Self.padded(minute, 2)
        case "S": return Self.padded(second, 2)
        case "f": return "000000"
        case "p": return hour < 12 ? "AM" : "PM"
        case "F": return formatted("%Y-%m-%d")
        case "D", "x": return formatted("%m/%d/%y")
        case "T", "X": return formatted("%H:%M:%S")
        case "R": return formatted("%H:%M")
        case "c": return formatted("%a %b %e %H:%M:%S %Y")
        case "Z", "z": return ""
        case "n": return "\n"
        case "t": return "\t"
        case "%": return "%"
        default: return nil
        }
    }

    private func dayOfYear(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month - 1]
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return before + day + (isLeap && month > 2 ? 1 : 0)
    }

    private static func padded(_ value: Int, _ width: Int, _ fill: Character = "0") -> String {
        let digits = String(value)
        return String(repeating: fill, count: max(0, width - digits.count)) + digits
    }
}
