// SPDX-License-Identifier: Apache-2.0

import Foundation

extension String {
    /// The text as a JSON string, quotes included.
    var jsonText: String {
        // A String is always encodable.
        (try? JSONEncoder().encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
    }
}
