// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// Reads the values of an object of `config.json` and names the key that is wrong. A key whose value is null is absent.
struct ConfigurationKeys {
    let object: JSONValue
    /// What stands before a key's name in messages.
    let prefix: String

    init(_ object: JSONValue, prefix: String = "") {
        self.object = object
        self.prefix = prefix
    }

    func value(_ key: String) -> JSONValue? {
        if case .null? = object[key] { nil } else { object[key] }
    }

    func invalid(_ key: String, _ reason: String) -> InferenceError {
        .invalidConfiguration(key: prefix + key, reason: reason)
    }

    func int(_ key: String, _ range: ClosedRange<Int>, default fallback: Int? = nil) throws(InferenceError) -> Int {
        guard let value = value(key) else {
            guard let fallback else { throw invalid(key, "it is missing") }
            return fallback
        }
        guard let number = value.int, range.contains(number) else {
            throw invalid(key, "it is not a whole number between \(range.lowerBound) and \(range.upperBound)")
        }
        return number
    }

    func number(_ key: String, _ range: ClosedRange<Float>, default fallback: Float? = nil) throws(InferenceError)
        -> Float
    {
        guard let value = value(key) else {
            guard let fallback else { throw invalid(key, "it is missing") }
            return fallback
        }
        guard let number = value.double.map(Float.init), range.contains(number) else {
            throw invalid(key, "it is not a number between \(range.lowerBound) and \(range.upperBound)")
        }
        return number
    }

    func bool(_ key: String, default fallback: Bool) throws(InferenceError) -> Bool {
        guard let value = value(key) else { return fallback }
        guard let truth = value.bool else { throw invalid(key, "it is not true or false") }
        return truth
    }

    func text(_ key: String, default fallback: String) throws(InferenceError) -> String {
        guard let value = value(key) else { return fallback }
        guard let text = value.text else { throw invalid(key, "it is not a text") }
        return text
    }
}
