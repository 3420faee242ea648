// SPDX-License-Identifier: Apache-2.0

/// Texts as calibration takes them.
public enum CalibrationPieces {
    /// Cuts texts of token ids to pieces of at most ``Calibration/longestText``: the same share of every text, short ones whole,
    /// `limit` tokens together at most.
    public static func cut(_ texts: [[Int32]], limit: Int) -> [[Int32]] {
        let ordered = texts.sorted { $0.count < $1.count }
        var left = limit, pieces: [[Int32]] = []
        for (index, text) in ordered.enumerated() {
            let share = min(text.count, left / (ordered.count - index))
            left -= share
            for first in stride(from: 0, to: share, by: Calibration.longestText) {
                pieces.append(Array(text[first..<min(share, first + Calibration.longestText)]))
            }
        }
        return pieces
    }
}
