//! **What does the paper's table say, and what do we get?**
