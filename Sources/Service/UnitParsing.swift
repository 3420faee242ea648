// SPDX-License-Identifier: Apache-2.0

/// Reads sizes such as `4GiB`, `512 MiB`, `100MB` or a plain number of bytes.
public func parseByteCount(_ text: String) -> Int? {
    let units: [String: Int] = [
        "": 1, "B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000,
        "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
    ]
    return parseQuantity(text.uppercased(), units: units.mapValues(Double.init)).flatMap { Int(exactly: $0.rounded()) }
}

/// Reads durations such as `30s`, `500ms`, `2m`, `1h` or a plain number of seconds.
public func parseDuration(_ text: String) -> Duration? {
    let units: [String: Double] = ["": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400]
    return parseQuantity(text, units: units).map { .seconds($0) }
}

/// A size for people: `4.0 GiB`.
public func formatByteCount(_ bytes: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = Double(bytes)
    var unit = 0
    while abs(value) >= 1024, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    return unit == 0 ? "\(bytes) B" : "\((value * 10).rounded() / 10) \(units[unit])"
}

private func parseQuantity(_ text: String, units: [String: Double]) -> Double? {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }
    guard let number = Double(digits), let factor = units[String(unit)] else { return nil }
    let value = number * factor
    return value.isFinite && value < 1e18 ? value : nil
}
