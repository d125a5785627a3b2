//! **What did the person ask for?**
